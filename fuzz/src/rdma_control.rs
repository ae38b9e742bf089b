//! The RDMA control messages, and the state machine that acts on them.

use std::time::{Duration, Instant};

use verbena_transport::rdma::protocol::{
    CONTROL_LEN, Config, Control, Protocol, Region, Role, WorkRequest, decode_control,
};

const REGION: Region = Region { addr: 1 << 20, length: 64 * 1024, rkey: 7 };

/// Any bytes are a control message or an error; a message survives encoding. And whatever a peer
/// sends in whatever order, the state machine writes only into memory that the peer handed out, and
/// shows as received only what the peer can have written.
pub fn check(data: &[u8]) {
    if let Ok(message) = decode_control(data) {
        assert_eq!(decode_control(&message.encode()), Ok(message));
    }
    Peer::new(if data.len().is_multiple_of(2) { Role::Server } else { Role::Client }).run(data);
}

/// What the other end of the connection does, as the bytes say.
struct Peer {
    protocol: Protocol,
    now: Instant,
    /// The region that it registered last, if any.
    region: Option<Region>,
}

impl Peer {
    fn new(role: Role) -> Peer {
        let now = Instant::now();
        let config = Config {
            role,
            region: REGION,
            receives: 32,
            send_buffer: 4096,
            send_queue: 16,
            max_inline: 64,
            keepalive: Some(Duration::from_secs(3)),
            handshake_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
        };
        Peer { protocol: Protocol::new(config, now), now, region: None }
    }

    fn run(&mut self, mut data: &[u8]) {
        while let Some((&event, rest)) = data.split_first() {
            let (word, after) = rest.split_at(rest.len().min(4));
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            let number = u32::from_be_bytes(bytes);
            data = match event % 8 {
                0 => {
                    let (message, after) = rest.split_at(rest.len().min(CONTROL_LEN));
                    self.send(message);
                    after
                }
                1 => {
                    self.protocol.write_received(number);
                    after
                }
                2 => {
                    self.protocol.send_completed();
                    rest
                }
                3 => {
                    self.now += Duration::from_millis(u64::from(number % 10_000));
                    self.protocol.handle_timeout(self.now);
                    after
                }
                4 => {
                    let received = self.protocol.received().len();
                    self.protocol.consume((number as usize).min(received));
                    after
                }
                5 => {
                    let space = self.protocol.space().len();
                    self.protocol.write((number as usize).min(space));
                    after
                }
                6 => {
                    self.protocol.established();
                    rest
                }
                _ if number % 16 == 0 => {
                    self.protocol.close();
                    after
                }
                _ => rest,
            };
            self.take_work();
        }
    }

    fn send(&mut self, message: &[u8]) {
        self.protocol.message_received(message);
        if let (Ok(Control::RegisterXferMemory(region)), None) =
            (decode_control(message), self.protocol.closed())
        {
            self.region = Some(region);
        }
    }

    fn take_work(&mut self) {
        let received = self.protocol.received();
        assert!(received.start <= received.end && received.end <= REGION.length as usize);
        assert!(self.protocol.poll_receives() <= 32);
        while let Some(request) = self.protocol.poll_transmit() {
            if let WorkRequest::Write { local, remote, rkey, .. } = request {
                let region = self.region.expect("nothing is written before memory is registered");
                assert!(local.end <= 4096);
                assert_eq!(rkey, region.rkey);
                assert!(remote >= region.addr);
                assert!(remote - region.addr + local.len() as u64 <= u64::from(region.length));
            }
        }
    }
}
