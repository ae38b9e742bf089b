//! What holds for any bytes that a peer sends. The fuzz targets look for bytes that break it; the
//! ordinary tests replay those that were interesting (`tests/fuzz_corpus.rs`, `tests/corpus/`).

pub mod acl;
pub mod rdb;
pub mod rdma_control;
pub mod resp;
pub mod tls_records;
