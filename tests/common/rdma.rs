//! RDMA servers and clients on this machine's device, and what the kernel says they hold.

use std::collections::HashSet;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use verbena::tools::client::Client;
use verbena_transport::{RdmaClientOptions, Target};

use super::Server;

/// How long something that was promised may take, in an emulated machine on a busy one.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The smallest receive buffer.
pub const SMALL: RdmaClientOptions = RdmaClientOptions { rx_size: 64 << 10, poll_us: 0 };

/// Address of an RDMA device.
///
/// # Panics
/// Where there is none: a promise that can't be checked is a failure.
pub fn device_ip() -> IpAddr {
    let addr = std::env::var("VERBENA_RDMA_ADDR").expect(
        "VERBENA_RDMA_ADDR is not set: this test needs an RDMA device, and 'scripts/soft-roce run -- COMMAND' \
         gives it one (scripts/test does so)",
    );
    addr.parse().expect("VERBENA_RDMA_ADDR is an IP address")
}

/// Starts a server that listens on TCP and, on the same port, on RDMA.
pub fn start(options: &[&str]) -> Server {
    let mut with_rdma = vec!["--protected-mode", "no"];
    with_rdma.extend(options);
    Server::start_with_rdma(device_ip(), &with_rdma)
}

/// Where RDMA clients find the server.
pub fn target(server: &Server, options: &RdmaClientOptions) -> Target {
    Target::rdma(device_ip().to_string(), server.port(), options.clone())
}

/// A new RDMA connection.
pub async fn connect(server: &Server, options: &RdmaClientOptions) -> Client {
    let target = target(server, options);
    Client::connect(&target).await.unwrap_or_else(|error| panic!("{error}\n{}", server.log()))
}

/// Runs to the end, on a runtime of its own, what must end within [`PATIENCE`] many times over.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(async {
        let all = tokio::time::timeout(4 * PATIENCE, future);
        all.await.expect("it must not hang")
    })
}

/// Waits until `condition` holds; `what` says which. Meanwhile this thread's connections go on.
pub async fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a process holds, as the kernel counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub queue_pairs: usize,
    pub completion_queues: usize,
    pub memory_regions: usize,
    /// Bytes registered with RDMA devices.
    pub registered: u64,
    /// Connections and listeners of the connection manager.
    pub manager_ids: usize,
    pub descriptors: usize,
}

impl Held {
    pub fn by(pid: u32) -> Held {
        // The kernel names the thread that made an object, not its process.
        let ids = |path: &str| -> HashSet<u64> {
            let entries = std::fs::read_dir(format!("/proc/{pid}/{path}")).expect("it runs");
            entries
                .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
                .collect()
        };
        let threads = ids("task");
        let of = |kind: &str| -> Vec<serde_json::Value> {
            let mut all = resources(kind);
            all.retain(|object| object["pid"].as_u64().is_some_and(|id| threads.contains(&id)));
            all
        };
        let regions = of("mr");
        Held {
            queue_pairs: of("qp").len(),
            completion_queues: of("cq").len(),
            memory_regions: regions.len(),
            registered: regions.iter().map(|region| region["mrlen"].as_u64().unwrap()).sum(),
            manager_ids: of("cm_id").len(),
            descriptors: ids("fd").len(),
        }
    }

    /// Waits until `server` holds this again, no more and no less.
    pub async fn await_return(&self, server: &Server) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Held::by(server.pid());
            if now == *self {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "a leak: the server held\n{self:?}\nand holds\n{now:?}\n{}",
                server.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `server` has no RDMA connection any more.
    pub async fn await_none(server: &Server) {
        await_that("the server lets go of all connections", || {
            let held = Held::by(server.pid());
            held.queue_pairs == 0 && held.memory_regions == 0
        })
        .await;
    }
}

/// All objects of one kind on all devices, from the kernel (`rdma resource show`).
fn resources(kind: &str) -> Vec<serde_json::Value> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("rdma");
    command.args(["-j", "resource", "show", kind]).env("PATH", path);
    let output = command.output().expect("the program rdma is installed (Debian's iproute2)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if output.stdout.trim_ascii().is_empty() {
        return Vec::new();
    }
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Where the server's RDMA listener is.
pub fn address(server: &Server) -> SocketAddr {
    SocketAddr::new(device_ip(), server.port())
}

/// Bytes of a value that tell its `seed` and every offset in it apart.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
