//! The RDMA backend of a program that was built without it: every operation is refused.

use std::io;

use crate::address::Address;
use crate::backend::{Backend, ListenFailure, Listener, ServerSide};
use crate::options::ServerOptions;

pub static BACKEND: Backend = Backend {
    name: "rdma",
    title: "RDMA",
    is_unix_socket: false,
    reports_failures: true,
    closing_note: None,
    server: |_| Box::new(Absent),
    listen_failure: |address, reason| {
        let text = "Could not create server RDMA listening endpoint";
        ListenFailure::on_port(&BACKEND, address, format!("Warning: {text} {address}: {reason}"))
    },
    connect: |_, _| Box::pin(std::future::ready(Err(unsupported()))),
};

struct Absent;

impl ServerSide for Absent {
    fn listen(&self, _: &Address, _: &ServerOptions) -> io::Result<Box<dyn Listener>> {
        Err(unsupported())
    }

    fn adjust(&self, _: &ServerOptions) {}
}

fn unsupported() -> io::Error {
    let text = "this program was built without RDMA (cargo feature `rdma`)";
    io::Error::new(io::ErrorKind::Unsupported, text)
}
