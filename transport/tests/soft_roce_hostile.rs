//! Hostile peers over a device: one that posts what it likes, against a listener of this crate.
//! Needs a device: run by `scripts/soft-roce run`.
#![cfg(feature = "rdma")]

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use verbena_transport::rdma::protocol::{CONTROL_LEN, Control, Region, WorkRequest};
use verbena_transport::rdma::raw::RawPeer;
use verbena_transport::rdma::{self, RdmaOptions};
use verbena_transport::{Connection, Endpoint, Listener, RdmaClientOptions, Target, connect};

const BUFFER: usize = 64 << 10;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(test)
}

/// Listens, echoes, and tells how each connection ended.
fn echo_server() -> (SocketAddr, mpsc::UnboundedReceiver<io::Error>) {
    let ip = std::env::var("VERBENA_RDMA_ADDR").unwrap_or_else(|_| "192.168.77.1".into());
    let ip: IpAddr = ip.parse().expect("an address");
    let options = RdmaOptions { rx_size: BUFFER.into(), ..RdmaOptions::default() };
    let listener = rdma::listen(SocketAddr::new(ip, 0), Arc::new(options)).expect("listens");
    let Endpoint::Ip(addr) = listener.local() else { panic!("an address") };
    let (ended, ends) = mpsc::unbounded_channel();
    tokio::task::spawn_local(accept(listener, ended));
    (addr, ends)
}

async fn accept(mut listener: Box<dyn Listener>, ended: mpsc::UnboundedSender<io::Error>) {
    loop {
        let incoming = poll_fn(|cx| listener.poll_accept(cx)).await.expect("accepts");
        let mut connection = incoming.attach().expect("attaches");
        let ended = ended.clone();
        tokio::task::spawn_local(async move {
            let end = loop {
                match poll_fn(|cx| connection.poll_receive(cx)).await {
                    Ok(0) => break io::ErrorKind::UnexpectedEof.into(),
                    Ok(_) => {}
                    Err(error) => break error,
                }
                let received = connection.buffers().0.to_vec();
                connection.advance(received.len(), 0);
                connection.queue(received.into());
                if let Err(error) = poll_fn(|cx| connection.poll_flush(cx)).await {
                    break error;
                }
            };
            let _ = ended.send(end);
        });
    }
}

fn send(peer: &mut RawPeer, message: [u8; CONTROL_LEN]) {
    peer.post(WorkRequest::Control { message, signalled: false }).unwrap();
}

fn register(peer: &mut RawPeer, region: Region) {
    send(peer, Control::RegisterXferMemory(region).encode());
}

fn write(peer: &mut RawPeer, n: usize, announced: u32) {
    let server = peer.server_region();
    let work = WorkRequest::Write {
        local: 0..n,
        remote: server.addr,
        rkey: server.rkey,
        immediate: Some(announced),
        signalled: false,
        inline: false,
    };
    peer.post(work).unwrap();
}

/// Lets a raw peer do something, and checks that its connection ends with an error that says `why`,
/// that its memory is given back, and that a connection beside it notices nothing.
fn ends_with(why: &str, act: impl AsyncFnOnce(&mut RawPeer)) {
    run(async {
        let (addr, mut ends) = echo_server();
        let options = RdmaClientOptions { rx_size: BUFFER, poll_us: 0 };
        let host = addr.ip().to_string();
        let target = Target::rdma(&host, addr.port(), options);
        let mut neighbour = connect(&target).await.unwrap();
        exchange(&mut *neighbour).await;
        let held = rdma::stats().registered_bytes;

        let mut peer = RawPeer::connect(addr).await.unwrap();
        assert_eq!(peer.server_region().length as usize, BUFFER);
        act(&mut peer).await;
        let end = ends.recv().await.unwrap();
        assert!(end.to_string().contains(why), "{end}");
        peer.disconnected().await.unwrap();
        drop(peer);
        while rdma::stats().registered_bytes > held {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        exchange(&mut *neighbour).await;
    });
}

async fn exchange(connection: &mut dyn Connection) {
    let message = vec![42; 10_000];
    connection.queue(message.clone().into());
    poll_fn(|cx| connection.poll_flush(cx)).await.unwrap();
    while connection.buffers().0.len() < message.len() {
        assert!(poll_fn(|cx| connection.poll_receive(cx)).await.unwrap() > 0);
    }
    assert!(connection.buffers().0 == message);
    connection.advance(message.len(), 0);
}

#[test]
fn more_announced_than_is_left() {
    ends_with("announced 65537 bytes where 65536 were left", async |peer| {
        write(peer, 16, BUFFER as u32 + 1);
    });
}

#[test]
fn more_announced_than_is_left_after_some() {
    ends_with("announced 4294967295 bytes where 65520 were left", async |peer| {
        let own = peer.own_region();
        register(peer, own);
        write(peer, 16, 16);
        write(peer, 0, u32::MAX);
    });
}

#[test]
fn an_unknown_opcode() {
    ends_with("a control message of opcode 1799", async |peer| send(peer, [7; CONTROL_LEN]));
}

#[test]
fn a_region_of_no_bytes() {
    ends_with("a transfer buffer of 0 bytes", async |peer| {
        let region = Region { length: 0, ..peer.own_region() };
        register(peer, region);
    });
}

#[test]
fn a_key_that_faults() {
    ends_with("its address or key is not valid", async |peer| {
        let region = peer.own_region();
        register(peer, Region { rkey: region.rkey ^ 0x5a5a, ..region });
        write(peer, 100, 100);
    });
}

#[test]
fn a_region_longer_than_what_is_registered() {
    ends_with("its address or key is not valid", async |peer| {
        let own = peer.own_region();
        register(peer, Region { addr: own.addr + 1, ..own });
        write(peer, BUFFER, BUFFER as u32);
    });
}

#[test]
fn a_flood_of_keepalives() {
    ends_with("control messages in a row and no data", async |peer| {
        (0..400).for_each(|_| send(peer, Control::Keepalive.encode()));
    });
}

#[test]
fn a_flood_of_feature_requests() {
    ends_with("control messages in a row and no data", async |peer| {
        let request = Control::GetServerFeature { select: 0, features: 0 };
        (0..400).for_each(|_| send(peer, request.encode()));
    });
}

#[test]
fn features_that_were_not_offered() {
    ends_with("feature bits that were not offered: 0x8000", async |peer| {
        send(peer, Control::SetClientFeature { select: 0, features: 0x8000 }.encode());
    });
}

#[test]
fn silence_instead_of_a_registration() {
    ends_with("registered no transfer buffer within 10s", async |_| {});
}
