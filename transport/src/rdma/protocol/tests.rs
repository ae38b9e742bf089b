//! Every order that matters, hostile peers, and two machines joined by a simulated wire.

use std::collections::VecDeque;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const KIB: usize = 1024;

fn config(role: Role) -> Config {
    Config {
        role,
        region: Region { addr: 0x10000, length: 64 * 1024, rkey: 7 },
        receives: 128,
        send_buffer: 64 * KIB,
        send_queue: 64,
        max_inline: 128,
        keepalive: Some(Duration::from_secs(3)),
        handshake_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(30),
    }
}

fn peer_region(length: u32) -> Region {
    Region { addr: 0x7000_0000, length, rkey: 99 }
}

/// When every connection of these tests begins.
fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}

/// A server whose peer has registered `length` bytes.
fn open(length: u32) -> Protocol {
    let mut protocol = Protocol::new(config(Role::Server), start());
    protocol.established();
    assert_eq!(transmit(&mut protocol), [register(config(Role::Server).region)]);
    protocol.message_received(&Control::RegisterXferMemory(peer_region(length)).encode());
    protocol
}

fn register(region: Region) -> WorkRequest {
    control(Control::RegisterXferMemory(region))
}

fn control(message: Control) -> WorkRequest {
    WorkRequest::Control { message: message.encode(), signalled: false }
}

fn transmit(protocol: &mut Protocol) -> Vec<WorkRequest> {
    std::iter::from_fn(|| protocol.poll_transmit()).collect()
}

fn write(protocol: &mut Protocol, mut n: usize) {
    while n > 0 {
        let space = protocol.space().len().min(n);
        assert!(space > 0, "no space");
        protocol.write(space);
        n -= space;
    }
}

fn announced(work: &[WorkRequest]) -> u32 {
    work.iter()
        .filter_map(|work| match work {
            WorkRequest::Write { immediate, .. } => *immediate,
            WorkRequest::Control { .. } => None,
        })
        .sum()
}

fn reason(protocol: &Protocol) -> &CloseReason {
    protocol.closed().expect("closed")
}

#[test]
fn nothing_is_sent_before_the_connection_is_established() {
    let mut protocol = Protocol::new(config(Role::Server), start());
    write(&mut protocol, 10);
    assert_eq!(transmit(&mut protocol), []);
    protocol.established();
    assert_eq!(transmit(&mut protocol), [register(config(Role::Server).region)]);
    protocol.established();
    assert_eq!(transmit(&mut protocol), []);
}

#[test]
fn bytes_written_before_the_peer_registers_go_out_when_it_does() {
    let mut protocol = Protocol::new(config(Role::Client), start());
    write(&mut protocol, 10);
    protocol.established();
    assert_eq!(transmit(&mut protocol).len(), 1);
    assert_eq!(protocol.unsent(), 10);
    protocol.message_received(&Control::RegisterXferMemory(peer_region(4096)).encode());
    let expected = WorkRequest::Write {
        local: 0..10,
        remote: 0x7000_0000,
        rkey: 99,
        immediate: Some(10),
        signalled: false,
        inline: true,
    };
    assert_eq!(transmit(&mut protocol), [expected]);
    assert_eq!(protocol.unsent(), 0);
}

#[test]
fn the_first_message_of_the_peer_may_overtake_the_established_event() {
    let mut protocol = Protocol::new(config(Role::Server), start());
    protocol.message_received(&Control::RegisterXferMemory(peer_region(4096)).encode());
    protocol.write_received(5);
    assert_eq!(protocol.received(), 0..5);
    write(&mut protocol, 3);
    let work = transmit(&mut protocol);
    assert_eq!(work[0], register(config(Role::Server).region));
    assert_eq!(announced(&work), 3);
    protocol.established();
    assert_eq!(transmit(&mut protocol), []);
}

#[test]
fn the_writer_stops_at_the_end_of_the_region_until_it_is_registered_again() {
    let mut protocol = open(1000);
    write(&mut protocol, 2500);
    assert_eq!(announced(&transmit(&mut protocol)), 1000);
    assert_eq!(transmit(&mut protocol), []);
    let other = Region { addr: 0x9000_0000, length: 1500, rkey: 5 };
    protocol.message_received(&Control::RegisterXferMemory(other).encode());
    let work = transmit(&mut protocol);
    assert_eq!(announced(&work), 1500);
    assert!(matches!(work[0], WorkRequest::Write { remote: 0x9000_0000, rkey: 5, .. }));
    assert_eq!(protocol.unsent(), 0);
}

#[test]
fn a_full_region_is_registered_again_only_when_all_of_it_was_consumed() {
    let mut protocol = open(4096);
    protocol.write_received(65_000);
    protocol.consume(65_000);
    assert_eq!(transmit(&mut protocol), [], "the peer goes on at its offset");
    protocol.write_received(536);
    assert!(protocol.is_full());
    assert_eq!(protocol.received(), 65_000..65_536);
    protocol.consume(535);
    assert_eq!(transmit(&mut protocol), []);
    protocol.consume(1);
    assert_eq!(transmit(&mut protocol), [register(config(Role::Server).region)]);
    assert_eq!(protocol.received(), 0..0);
    protocol.write_received(65_536);
    assert_eq!(protocol.received(), 0..65_536);
}

#[test]
fn a_wrapped_send_buffer_takes_two_writes_and_one_notification() {
    let mut protocol = open(1 << 20);
    write(&mut protocol, 50 * KIB);
    let completions = transmit(&mut protocol).iter().filter(|work| is_signalled(work)).count();
    (0..completions).for_each(|_| protocol.send_completed());
    write(&mut protocol, 30 * KIB);
    let work = transmit(&mut protocol);
    let ranges: Vec<_> = work.iter().map(local).collect();
    assert_eq!(ranges, [50 * KIB..64 * KIB, 0..16 * KIB]);
    assert_eq!(announced(&work[..1]), 0);
    assert_eq!(announced(&work), 30 * 1024);
}

fn is_signalled(work: &WorkRequest) -> bool {
    match work {
        WorkRequest::Write { signalled, .. } | WorkRequest::Control { signalled, .. } => *signalled,
    }
}

fn local(work: &WorkRequest) -> Range<usize> {
    match work {
        WorkRequest::Write { local, .. } => local.clone(),
        WorkRequest::Control { .. } => panic!("not a write"),
    }
}

#[test]
fn small_messages_start_over_in_the_send_buffer_and_ask_for_few_completions() {
    let mut protocol = open(1 << 20);
    let mut signalled = 0;
    let mut outstanding = 0;
    for _ in 0..1000 {
        assert_eq!(protocol.space().start, 0);
        write(&mut protocol, 71);
        let work = transmit(&mut protocol);
        assert_eq!(local(&work[0]), 0..71);
        outstanding += 1;
        if is_signalled(&work[0]) {
            signalled += 1;
            outstanding = 0;
            protocol.send_completed();
        }
    }
    assert!((1000 / 16 - 1..=1000 / 16 + 1).contains(&signalled), "{signalled}");
    assert!(outstanding < 16);
}

#[test]
fn a_full_send_queue_waits_for_a_completion_and_keeps_room_for_control_messages() {
    let mut protocol = open(1 << 20);
    let mut posted = 1;
    let mut signalled = 0;
    loop {
        write(&mut protocol, 1);
        let work = transmit(&mut protocol);
        if work.is_empty() {
            break;
        }
        posted += 1;
        signalled += usize::from(is_signalled(&work[0]));
    }
    assert_eq!(posted, 64 - CONTROL_SLOTS);
    assert!(signalled > 0, "or it would wait forever");
    protocol.write_received(65_536);
    protocol.consume(65_536);
    assert_eq!(transmit(&mut protocol).len(), 1);
    protocol.send_completed();
    assert_eq!(announced(&transmit(&mut protocol)), 1);
}

#[test]
fn receives_are_posted_again_in_batches() {
    let mut protocol = open(4096);
    let mut posted = 0;
    for _ in 0..999 {
        protocol.write_received(1);
        let n = protocol.poll_receives();
        assert!(n == 0 || n == 16, "{n}");
        posted += n;
    }
    assert_eq!(posted, 1000 / 16 * 16, "the registration was one of them");
}

#[test]
fn a_server_answers_feature_requests_with_none_and_rejects_unknown_bits() {
    let mut protocol = open(4096);
    protocol.message_received(&Control::GetServerFeature { select: 3, features: 0 }.encode());
    let answer = Control::GetServerFeature { select: 3, features: 0 };
    assert_eq!(transmit(&mut protocol), [control(answer)]);
    protocol.message_received(&Control::SetClientFeature { select: 0, features: 0 }.encode());
    assert_eq!(protocol.closed(), None);
    protocol.message_received(&Control::SetClientFeature { select: 0, features: 4 }.encode());
    assert_eq!(reason(&protocol), &CloseReason::Features(4));
}

#[test]
fn a_client_takes_no_feature_setting_from_a_server() {
    let mut protocol = Protocol::new(config(Role::Client), start());
    protocol.message_received(&Control::GetServerFeature { select: 0, features: 8 }.encode());
    protocol.message_received(&Control::Keepalive.encode());
    assert_eq!(protocol.closed(), None);
    protocol.message_received(&Control::SetClientFeature { select: 0, features: 0 }.encode());
    assert!(matches!(reason(&protocol), CloseReason::Unexpected(_)));
}

// Hostile peers.

#[test]
fn an_announcement_beyond_the_region_closes() {
    let mut protocol = open(4096);
    protocol.write_received(65_530);
    protocol.write_received(7);
    assert_eq!(reason(&protocol), &CloseReason::Overrun { announced: 7, left: 6 });
    assert_eq!(
        reason(&protocol).to_string(),
        "the peer announced 7 bytes where 6 were left of the receive buffer"
    );
    assert_eq!(protocol.received(), 0..65_530, "what came before it is still there");
    assert_eq!(protocol.poll_receives(), 0);

    let mut protocol = open(4096);
    protocol.write_received(u32::MAX);
    assert!(matches!(reason(&protocol), CloseReason::Overrun { .. }));
}

#[test]
fn malformed_messages_close() {
    let cases: [(&[u8], &str); 4] = [
        (&[0; 31], "the peer sent a control message of 31 bytes, where 32 are due"),
        (&[], "the peer sent a control message of 0 bytes, where 32 are due"),
        (&[9; 32], "the peer sent a control message of opcode 2313"),
        (
            &Control::RegisterXferMemory(peer_region(0)).encode(),
            "the peer sent a transfer buffer of 0 bytes",
        ),
    ];
    for (message, text) in cases {
        let mut protocol = open(4096);
        protocol.message_received(message);
        assert_eq!(reason(&protocol).to_string(), text);
        assert_eq!(reason(&protocol).to_io_error().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn a_flood_of_control_messages_closes() {
    for message in [
        Control::Keepalive,
        Control::GetServerFeature { select: 0, features: 0 },
        Control::RegisterXferMemory(peer_region(4096)),
    ] {
        let mut protocol = open(4096);
        let mut sent = 1;
        while protocol.closed().is_none() {
            protocol.message_received(&message.encode());
            transmit(&mut protocol);
            sent += 1;
        }
        assert_eq!(reason(&protocol), &CloseReason::Flood(CONTROL_LIMIT + 1));
        assert_eq!(sent, CONTROL_LIMIT + 1);
    }
}

#[test]
fn empty_notifications_are_a_flood_too() {
    let mut protocol = open(4096);
    (0..CONTROL_LIMIT).for_each(|_| protocol.write_received(0));
    assert!(matches!(reason(&protocol), CloseReason::Flood(_)));
}

#[test]
fn answers_that_cannot_be_sent_do_not_pile_up() {
    let mut protocol = open(4096);
    let mut sent = 0;
    while protocol.closed().is_none() {
        protocol.message_received(&Control::GetServerFeature { select: 0, features: 0 }.encode());
        protocol.write_received(1);
        sent += 1;
        assert!(sent < 1000);
    }
    assert!(matches!(reason(&protocol), CloseReason::Flood(_)));
}

#[test]
fn keepalives_of_a_peer_at_its_own_pace_are_no_flood() {
    let now = start();
    let mut protocol = open(4096);
    for i in 1..2000 {
        protocol.message_received(&Control::Keepalive.encode());
        protocol.handle_timeout(now + Duration::from_secs(4) * i);
        if transmit(&mut protocol).iter().any(is_signalled) {
            protocol.send_completed();
        }
    }
    assert_eq!(protocol.closed(), None);
}

#[test]
fn a_tiny_region_is_served_however_often_it_is_registered() {
    let mut protocol = open(1);
    write(&mut protocol, 3000);
    for _ in 0..3000 {
        let work = transmit(&mut protocol);
        assert_eq!(announced(&work), 1);
        if is_signalled(&work[0]) {
            protocol.send_completed();
        }
        protocol.message_received(&Control::RegisterXferMemory(peer_region(1)).encode());
    }
    assert_eq!(protocol.closed(), None);
    assert_eq!(protocol.unsent(), 0);
}

#[test]
fn a_peer_that_never_registers_is_closed() {
    let now = start();
    for establish in [false, true] {
        let mut protocol = Protocol::new(config(Role::Server), now);
        if establish {
            protocol.established();
        }
        write(&mut protocol, 10);
        let mut time = now;
        while time < now + Duration::from_secs(10) {
            protocol.handle_timeout(time);
            assert_eq!(protocol.closed(), None);
            time = protocol.poll_timeout().unwrap();
        }
        assert_eq!(time, now + Duration::from_secs(10));
        protocol.handle_timeout(now + Duration::from_secs(10));
        assert_eq!(
            reason(&protocol).to_string(),
            "the peer registered no transfer buffer within 10s"
        );
        assert_eq!(protocol.poll_timeout(), None);
    }
}

#[test]
fn a_peer_that_stops_reading_is_closed() {
    let now = start();
    let mut protocol = open(1000);
    write(&mut protocol, 1500);
    transmit(&mut protocol);
    let mut time = now;
    while protocol.closed().is_none() {
        time += Duration::from_secs(3);
        protocol.handle_timeout(time);
        // It still talks, which is not enough.
        protocol.write_received(1);
    }
    assert!(time - now >= Duration::from_secs(30) && time - now <= Duration::from_secs(36));
    assert_eq!(
        reason(&protocol).to_string(),
        "the peer took nothing for 30s while 500 bytes waited"
    );
}

#[test]
fn a_peer_that_reads_slowly_is_not_closed() {
    let now = start();
    let mut protocol = open(100);
    write(&mut protocol, 20_000);
    for i in 1..150 {
        if transmit(&mut protocol).iter().any(is_signalled) {
            protocol.send_completed();
        }
        protocol.handle_timeout(now + Duration::from_secs(5) * i);
        protocol.message_received(&Control::RegisterXferMemory(peer_region(100)).encode());
    }
    assert_eq!(protocol.closed(), None);
}

#[test]
fn a_server_probes_an_idle_peer_once_per_interval() {
    let now = start();
    let mut protocol = open(4096);
    for i in 1..20 {
        protocol.handle_timeout(now + Duration::from_secs(4) * i);
        let probe = transmit(&mut protocol);
        assert_eq!(probe.len(), 1);
        assert!(matches!(&probe[0], WorkRequest::Control { message, .. }
            if *message == Control::Keepalive.encode()));
        if is_signalled(&probe[0]) {
            protocol.send_completed();
        }
    }
    protocol.write_received(1);
    protocol.handle_timeout(now + Duration::from_secs(200));
    assert_eq!(transmit(&mut protocol), []);
}

#[test]
fn a_client_does_not_probe_a_silent_server() {
    let now = start();
    let mut protocol = Protocol::new(config(Role::Client), now);
    protocol.established();
    protocol.message_received(&Control::RegisterXferMemory(peer_region(64)).encode());
    transmit(&mut protocol);
    // Once only, since nothing else shows that its registration has arrived.
    protocol.handle_timeout(now + Duration::from_secs(4));
    assert!(transmit(&mut protocol).iter().all(is_signalled));
    protocol.send_completed();
    (2..10).for_each(|i| protocol.handle_timeout(now + Duration::from_secs(4) * i));
    assert_eq!(transmit(&mut protocol), []);
}

#[test]
fn a_peer_that_acknowledges_nothing_is_gone() {
    for role in [Role::Server, Role::Client] {
        for bytes in [0, 5] {
            let now = start();
            let mut protocol = Protocol::new(config(role), now);
            protocol.established();
            protocol.message_received(&Control::RegisterXferMemory(peer_region(4096)).encode());
            write(&mut protocol, bytes);
            let mut time = now;
            while protocol.closed().is_none() {
                transmit(&mut protocol);
                time += Duration::from_secs(3);
                protocol.handle_timeout(time);
                assert!(time - now <= Duration::from_secs(24), "{role:?}");
            }
            assert!(time - now >= Duration::from_secs(15), "{role:?}");
            assert_eq!(
                reason(&protocol).to_string(),
                "the peer is gone: nothing was acknowledged for 15s"
            );
            assert!(protocol.is_drained(), "{role:?}");
        }
    }
}

#[test]
fn a_peer_that_acknowledges_late_is_not_gone() {
    let now = start();
    let mut protocol = open(1 << 20);
    let mut due = VecDeque::new();
    for i in 1..200 {
        let time = now + Duration::from_secs(3) * i;
        write(&mut protocol, 3);
        let signalled = transmit(&mut protocol).into_iter().filter(is_signalled).count();
        due.extend(std::iter::repeat_n(time + Duration::from_secs(11), signalled));
        protocol.handle_timeout(time);
        while due.front().is_some_and(|due| *due <= time) {
            due.pop_front();
            protocol.send_completed();
        }
        assert_eq!(protocol.closed(), None);
    }
}

#[test]
fn failed_work_closes_with_its_reason_and_the_first_reason_stays() {
    let mut protocol = open(4096);
    protocol.work_failed(WorkFailure::RemoteAccess);
    protocol.work_failed(WorkFailure::Flushed);
    protocol.disconnected();
    assert_eq!(reason(&protocol), &CloseReason::Work(WorkFailure::RemoteAccess));
    assert!(protocol.is_drained());

    let mut protocol = open(4096);
    protocol.work_failed(WorkFailure::RetryExceeded);
    assert_eq!(reason(&protocol).to_io_error().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_completion_that_is_not_due_closes() {
    let mut protocol = open(4096);
    protocol.send_completed();
    assert_eq!(reason(&protocol), &CloseReason::UnexpectedCompletion);
}

#[test]
fn bytes_that_came_before_a_disconnect_can_be_read_after_it() {
    let mut protocol = open(4096);
    protocol.write_received(10);
    protocol.disconnected();
    assert_eq!(protocol.received(), 0..10);
    protocol.consume(10);
    assert_eq!(protocol.received(), 10..10);
}

#[test]
fn a_local_close_waits_until_what_was_posted_has_arrived() {
    let mut protocol = open(4096);
    write(&mut protocol, 10);
    assert_eq!(announced(&transmit(&mut protocol)), 10);
    write(&mut protocol, 5);
    protocol.close();
    assert!(!protocol.is_drained());
    let last = transmit(&mut protocol);
    let barrier = WorkRequest::Control { message: Control::Keepalive.encode(), signalled: true };
    assert_eq!(last, [barrier], "what was not posted is dropped");
    assert!(!protocol.is_drained());
    protocol.send_completed();
    assert!(protocol.is_drained());
}

#[test]
fn a_lost_connection_has_nothing_to_wait_for() {
    let mut protocol = open(4096);
    write(&mut protocol, 10);
    transmit(&mut protocol);
    protocol.close();
    transmit(&mut protocol);
    protocol.work_failed(WorkFailure::RetryExceeded);
    assert!(protocol.is_drained());
}

#[test]
fn a_local_close_with_nothing_outstanding_is_done() {
    let mut protocol = Protocol::new(config(Role::Server), start());
    protocol.close();
    assert!(protocol.is_drained());
    assert_eq!(transmit(&mut protocol), []);
}

// Two machines and a wire.

struct End {
    protocol: Protocol,
    send_memory: Vec<u8>,
    region_memory: Vec<u8>,
    /// Bytes to write, in order, and how many were written.
    script: Vec<u8>,
    written: usize,
    /// Bytes read.
    read: Vec<u8>,
    /// On the wire to the peer.
    wire: VecDeque<Packet>,
    /// Completions of signalled work that this end has not been told of.
    completions: VecDeque<()>,
    posted_receives: u32,
}

enum Packet {
    Message([u8; CONTROL_LEN], bool),
    Write { offset: usize, bytes: Vec<u8>, immediate: Option<u32>, signalled: bool },
}

impl End {
    fn new(role: Role, region: u32, buffer: usize, queue: u32, script: Vec<u8>) -> End {
        let addr = 0x1000;
        let config = Config {
            region: Region { addr, length: region, rkey: 1 },
            send_buffer: buffer,
            send_queue: queue,
            receives: 32,
            max_inline: 16,
            ..config(role)
        };
        let mut protocol = Protocol::new(config, start());
        protocol.established();
        End {
            protocol,
            send_memory: vec![0; buffer],
            region_memory: vec![0; region as usize],
            script,
            written: 0,
            read: Vec::new(),
            wire: VecDeque::new(),
            completions: VecDeque::new(),
            posted_receives: 32,
        }
    }

    fn post(&mut self) {
        while let Some(work) = self.protocol.poll_transmit() {
            let packet = match work {
                WorkRequest::Control { message, signalled } => Packet::Message(message, signalled),
                WorkRequest::Write { local, remote, rkey, immediate, signalled, .. } => {
                    assert_eq!(rkey, 1);
                    let bytes = self.send_memory[local.clone()].to_vec();
                    Packet::Write {
                        offset: (remote - 0x1000) as usize,
                        bytes,
                        immediate,
                        signalled,
                    }
                }
            };
            self.wire.push_back(packet);
        }
        self.posted_receives += self.protocol.poll_receives();
    }

    fn write(&mut self, n: usize) -> bool {
        let space = self.protocol.space();
        let n = n.min(space.len()).min(self.script.len() - self.written);
        self.send_memory[space.start..space.start + n]
            .copy_from_slice(&self.script[self.written..self.written + n]);
        self.protocol.write(n);
        self.written += n;
        n > 0
    }

    fn consume(&mut self, n: usize) -> bool {
        let received = self.protocol.received();
        let n = n.min(received.len());
        self.read.extend_from_slice(&self.region_memory[received.start..received.start + n]);
        self.protocol.consume(n);
        n > 0
    }
}

/// Delivers the oldest packet of `from` to `to`; false if there is none.
fn deliver(from: &mut End, to: &mut End) -> bool {
    let Some(packet) = from.wire.pop_front() else { return false };
    let signalled = match packet {
        Packet::Message(message, signalled) => {
            to.posted_receives -= 1;
            to.protocol.message_received(&message);
            signalled
        }
        Packet::Write { offset, bytes, immediate, signalled } => {
            // A write beyond the region would panic here, as it would fault on a device.
            to.region_memory[offset..offset + bytes.len()].copy_from_slice(&bytes);
            if let Some(immediate) = immediate {
                to.posted_receives -= 1;
                to.protocol.write_received(immediate);
            }
            signalled
        }
    };
    if signalled {
        from.completions.push_back(());
    }
    true
}

fn complete(end: &mut End) -> bool {
    let due = end.completions.pop_front().is_some();
    if due {
        end.protocol.send_completed();
    }
    due
}

fn script(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8 ^ seed).collect()
}

/// Something that happens at one end: an action and an amount.
fn step(ends: &mut [End; 2], which: usize, action: u8, amount: usize) -> bool {
    let [a, b] = ends;
    let (end, peer) = if which == 0 { (a, b) } else { (b, a) };
    let happened = match action {
        0 => end.write(amount),
        1 => end.consume(amount),
        2 => complete(end),
        _ => (0..amount.min(4)).any(|_| deliver(peer, end)),
    };
    end.post();
    happened
}

fn scenario() -> impl Strategy<Value = (u32, u32, usize, usize, u32, usize, usize)> {
    (1..3000u32, 1..3000u32, 4..13usize, 4..13usize, 16..80u32, 0..20_000usize, 0..20_000usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the sizes and whatever the order of deliveries, completions, writes and reads: both
    /// streams arrive whole and in order, no write leaves its region, no receive is missing, and
    /// when nothing more can happen everything has arrived.
    #[test]
    fn streams_arrive_whole_in_any_order_of_events(
        (region_a, region_b, buffer_a, buffer_b, queue, len_a, len_b) in scenario(),
        steps in proptest::collection::vec((0..2usize, 0..4u8, 1..2000usize), 0..600),
    ) {
        let mut ends = [
            End::new(Role::Server, region_a, 1 << buffer_a, queue, script(len_a, 1)),
            End::new(Role::Client, region_b, 1 << buffer_b, queue, script(len_b, 2)),
        ];
        ends.iter_mut().for_each(End::post);
        for (which, action, amount) in steps {
            step(&mut ends, which, action, amount);
        }
        // Then everything that can happen does, until nothing can.
        loop {
            let mut happened = false;
            for which in 0..2 {
                for action in 0..4 {
                    happened |= step(&mut ends, which, action, 1000);
                }
            }
            if !happened {
                break;
            }
        }
        let [a, b] = &ends;
        prop_assert_eq!(a.protocol.closed(), None);
        prop_assert_eq!(b.protocol.closed(), None);
        prop_assert!(a.read == b.script, "{} of {} bytes", a.read.len(), b.script.len());
        prop_assert!(b.read == a.script, "{} of {} bytes", b.read.len(), a.script.len());
    }

    /// A peer may say anything at any time: the machine never panics, never asks for a write outside
    /// what was registered last, and stays closed once closed.
    #[test]
    fn a_hostile_peer_gets_no_further_than_its_own_connection(
        events in proptest::collection::vec((0..8u8, any::<u32>()), 0..400),
    ) {
        let now = start();
        let mut protocol = Protocol::new(config(Role::Server), now);
        let mut region = None;
        let mut time = now;
        for (event, value) in events {
            let was_closed = protocol.closed().cloned();
            match event {
                0 => protocol.established(),
                1 => {
                    let length = value % 5000;
                    if length > 0 && protocol.closed().is_none() {
                        region = Some(peer_region(length));
                    }
                    let message = Control::RegisterXferMemory(peer_region(length));
                    protocol.message_received(&message.encode());
                }
                2 => protocol.write_received(value % 70_000),
                3 => protocol.write_received(value % 100),
                4 => protocol.message_received(&value.to_be_bytes().repeat(8)[..(value % 33) as usize]),
                5 => {
                    time += Duration::from_millis(u64::from(value % 5000));
                    protocol.handle_timeout(time);
                }
                6 => {
                    let n = protocol.space().len().min(value as usize % 5000);
                    protocol.write(n);
                }
                _ => {
                    let n = protocol.received().len().min(value as usize % 5000);
                    protocol.consume(n);
                }
            }
            for work in transmit(&mut protocol) {
                if let WorkRequest::Write { local, remote, rkey, .. } = work {
                    let region = region.expect("registered");
                    prop_assert_eq!(rkey, region.rkey);
                    prop_assert!(remote >= region.addr);
                    let end = remote + local.len() as u64;
                    prop_assert!(end <= region.addr + u64::from(region.length));
                }
            }
            if was_closed.is_some() {
                prop_assert_eq!(protocol.closed(), was_closed.as_ref());
            }
        }
    }
}
