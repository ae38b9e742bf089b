//! Safe ownership of verbs objects: protection domains, registered memory, completion queues and
//! queue pairs.
//!
//! Memory that a device may still access is kept alive by the object that lets it do so: a queue pair holds the
//! memory that its work requests name, its protection domain and its completion queue, and is
//! destroyed before it lets go of them.
//!
//! Memory that a peer may write is not under Rust's rules: its bytes change while a slice of them
//! is borrowed if the peer writes where it was not asked to. The protocol never lends out bytes
//! that a peer which keeps to it may write; of one that does not, only the content is wrong, for
//! a reader of a slice of bytes must take any content at any time.

use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::mem::{self, MaybeUninit};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use rdma_sys::*;

use super::cm::Id;
use super::code::check;
use super::counters::Reservation;
use super::protocol::{CONTROL_LEN, WorkFailure, WorkRequest};
use crate::event_loop::{Interest, Source};

/// Work requests posted by one call, so with one doorbell.
const BATCH: usize = 16;

/// Completions taken by one call.
const POLL_BATCH: usize = 16;

/// Completion events after which they are acknowledged: each acknowledgement takes a lock.
const ACK_BATCH: u32 = 64;

/// The 5-bit code for 0.08 ms: how long a peer waits before it sends again where no receive was
/// posted. The default code, 0, means 655 ms.
const MIN_RNR_TIMER: u8 = 8;

/// An RDMA device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, as `ibv_devices` shows it.
    pub name: String,
    /// True if at least one of its ports is active.
    pub active: bool,
}

/// The devices of this machine; empty where the system has no RDMA at all.
pub(super) fn devices() -> Vec<Device> {
    let mut count = 0;
    // SAFETY: returns a list of `count` devices, or null.
    let list = unsafe { ibv_get_device_list(&mut count) };
    if list.is_null() {
        return Vec::new();
    }
    let devices = (0..count as usize)
        .map(|i| {
            // SAFETY: `i` is within the list, and its devices live until it is freed below.
            let device = unsafe { *list.add(i) };
            // SAFETY: a device has a name, a C string within it.
            let name = unsafe { CStr::from_ptr(ibv_get_device_name(device)) };
            Device { name: name.to_string_lossy().into_owned(), active: is_active(device) }
        })
        .collect();
    // SAFETY: the list came from ibv_get_device_list, and nothing of it is used any more.
    unsafe { ibv_free_device_list(list) };
    devices
}

fn is_active(device: *mut ibv_device) -> bool {
    // SAFETY: the caller's device is of a list that is not freed.
    let Some(context) = NonNull::new(unsafe { ibv_open_device(device) }) else { return false };
    let active = query_device(context.as_ptr()).is_ok_and(|attributes| {
        (1..=attributes.phys_port_cnt).any(|port| {
            // SAFETY: all zeroes are a valid value of this plain structure.
            let mut attributes: ibv_port_attr = unsafe { mem::zeroed() };
            // SAFETY: the context is open and the structure is of the size that the call is told.
            let code = unsafe { ___ibv_query_port(context.as_ptr(), port, &mut attributes) };
            code == 0 && attributes.state == ibv_port_state::IBV_PORT_ACTIVE
        })
    });
    // SAFETY: opened above, and nothing was made from it.
    unsafe { ibv_close_device(context.as_ptr()) };
    active
}

fn query_device(context: *mut ibv_context) -> io::Result<ibv_device_attr> {
    // SAFETY: all zeroes are a valid value of this plain structure.
    let mut attributes: ibv_device_attr = unsafe { mem::zeroed() };
    // SAFETY: the caller's context is open.
    check(unsafe { ibv_query_device(context, &mut attributes) })?;
    Ok(attributes)
}

/// A protection domain, and the limits of its device.
pub(super) struct ProtectionDomain {
    raw: NonNull<ibv_pd>,
    limits: Limits,
}

/// Limits of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Entries of a completion queue.
    pub(super) completions: u32,
    /// Work requests of a send or receive queue.
    pub(super) work_requests: u32,
    /// Interrupts that completion queues can be spread over.
    pub(super) completion_vectors: i32,
}

impl ProtectionDomain {
    /// A domain on the device that `id` is bound to.
    pub(super) fn new(id: &Id) -> io::Result<Rc<Self>> {
        let context = id.device();
        if context.is_null() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "RDMA: no device for this address",
            ));
        }
        // librdmacm opens each device once and keeps it open, so the domain may outlive the id.
        let attributes = query_device(context)?;
        let limits = Limits {
            completions: attributes.max_cqe.max(1) as u32,
            work_requests: attributes.max_qp_wr.max(1) as u32,
            // SAFETY: the context is open.
            completion_vectors: unsafe { (*context).num_comp_vectors }.max(1),
        };
        // SAFETY: the context is open.
        let raw = NonNull::new(unsafe { ibv_alloc_pd(context) }).ok_or_else(last_error)?;
        Ok(Rc::new(ProtectionDomain { raw, limits }))
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// True if this domain is of the device that `id` is bound to.
    pub(super) fn is_of(&self, id: &Id) -> bool {
        self.context() == id.device()
    }

    fn context(&self) -> *mut ibv_context {
        // SAFETY: the domain lives as long as `self`.
        unsafe { self.raw.as_ref().context }
    }
}

impl Drop for ProtectionDomain {
    fn drop(&mut self) {
        // SAFETY: everything made in this domain held a reference to it, so nothing is left.
        unsafe { ibv_dealloc_pd(self.raw.as_ptr()) };
    }
}

fn last_error() -> io::Error {
    io::Error::last_os_error()
}

/// Write access to registered memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// This process, and the device on its behalf.
    Local,
    /// The peer too, with the memory's remote key.
    Peer,
}

/// Memory of its own pages, registered with a device.
struct Registration {
    mr: NonNull<ibv_mr>,
    memory: NonNull<u8>,
    length: usize,
    domain: Rc<ProtectionDomain>,
    _reservation: Reservation,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: no queue pair uses the memory: each holds references to the memory that it uses.
        unsafe { ibv_dereg_mr(self.mr.as_ptr()) };
        // SAFETY: mapped by `Memory::register`, and every slice of it borrowed from a `Memory`.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.length) };
        let _ = &self.domain;
    }
}

/// A part of registered memory with one owner.
pub(super) struct Memory {
    registration: Rc<Registration>,
    start: usize,
    length: usize,
}

impl Memory {
    /// Maps `length` bytes of zeroes and registers them; `reservation` accounts for them.
    pub(super) fn register(
        domain: &Rc<ProtectionDomain>,
        length: usize,
        access: Access,
        reservation: Reservation,
    ) -> io::Result<Memory> {
        // SAFETY: a new anonymous mapping, of which the kernel chooses the place.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(last_error());
        }
        // A forked child must not make the device and this process see different pages.
        // SAFETY: the mapping was made above.
        unsafe { libc::madvise(memory, length, libc::MADV_DONTFORK) };
        let flags = match access {
            Access::Local => ibv_access_flags::IBV_ACCESS_LOCAL_WRITE,
            Access::Peer => {
                ibv_access_flags::IBV_ACCESS_LOCAL_WRITE | ibv_access_flags::IBV_ACCESS_REMOTE_WRITE
            }
        };
        // SAFETY: the domain is open, and the mapping stays until after the deregistration.
        let mr = unsafe { ibv_reg_mr(domain.raw.as_ptr(), memory, length, flags.0 as i32) };
        let Some(mr) = NonNull::new(mr) else {
            let error = last_error();
            // SAFETY: the mapping was made above and is used by nothing.
            unsafe { libc::munmap(memory, length) };
            let text = format!(
                "RDMA: registering {length} bytes failed (is the locked-memory limit, ulimit -l, \
                 too low?): {error}"
            );
            return Err(io::Error::new(error.kind(), text));
        };
        let memory = NonNull::new(memory.cast()).expect("mmap succeeded");
        let registration = Rc::new(Registration {
            mr,
            memory,
            length,
            domain: domain.clone(),
            _reservation: reservation,
        });
        Ok(Memory { registration, start: 0, length })
    }

    /// Splits it into its first `n` bytes and the rest.
    pub(super) fn split_at(self, n: usize) -> (Memory, Memory) {
        assert!(n <= self.length);
        let rest = Memory {
            registration: self.registration.clone(),
            start: self.start + n,
            length: self.length - n,
        };
        (Memory { length: n, ..self }, rest)
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The address of the first byte, as a peer is told it.
    pub(super) fn addr(&self) -> u64 {
        (self.registration.memory.as_ptr() as u64) + self.start as u64
    }

    /// The key that lets a peer write here, if that was allowed.
    pub(super) fn rkey(&self) -> u32 {
        // SAFETY: the registration lives as long as `self`.
        unsafe { self.registration.mr.as_ref().rkey }
    }

    fn lkey(&self) -> u32 {
        // SAFETY: the registration lives as long as `self`.
        unsafe { self.registration.mr.as_ref().lkey }
    }

    fn pointer(&self, range: &Range<usize>) -> *mut u8 {
        assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: within the mapping, by the line above and by construction.
        unsafe { self.registration.memory.as_ptr().add(self.start + range.start) }
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        // SAFETY: in bounds and initialised (zeroes at first), alive as long as `self`, and within
        // this process nothing writes it, for that takes `&mut self` of this only owner. The module's introduction
        // says why the device may.
        unsafe { std::slice::from_raw_parts(self.pointer(&range), range.len()) }
    }

    pub(super) fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        // SAFETY: as for `bytes`, and `&mut self` makes it the only borrow.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(&range), range.len()) }
    }
}

/// A completed work request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Completion {
    /// The number that it was posted with.
    pub(super) tag: u64,
    pub(super) result: Result<Completed, WorkFailure>,
}

/// The operation that has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completed {
    /// A signalled send.
    Send,
    /// A receive took a message of so many bytes.
    Message(usize),
    /// A receive took the immediate of an RDMA WRITE.
    Immediate(u32),
}

/// A completion queue with a channel of its own.
pub(super) struct CompletionQueue {
    cq: NonNull<ibv_cq>,
    channel: NonNull<ibv_comp_channel>,
    domain: Rc<ProtectionDomain>,
    unacknowledged: Cell<u32>,
}

impl CompletionQueue {
    /// A queue of at least `entries`, whose events the device raises on `vector`.
    pub(super) fn new(
        domain: &Rc<ProtectionDomain>,
        entries: u32,
        vector: i32,
    ) -> io::Result<Rc<CompletionQueue>> {
        // SAFETY: the device is open.
        let channel = NonNull::new(unsafe { ibv_create_comp_channel(domain.context()) })
            .ok_or_else(last_error)?;
        // SAFETY: the device and the channel are open; the queue needs no context.
        let cq = unsafe {
            ibv_create_cq(
                domain.context(),
                entries as i32,
                ptr::null_mut(),
                channel.as_ptr(),
                vector % domain.limits.completion_vectors,
            )
        };
        let Some(cq) = NonNull::new(cq) else {
            let error = last_error();
            // SAFETY: created above and used by nothing.
            unsafe { ibv_destroy_comp_channel(channel.as_ptr()) };
            return Err(error);
        };
        let unacknowledged = Cell::new(0);
        let queue = CompletionQueue { cq, channel, domain: domain.clone(), unacknowledged };
        rustix::io::ioctl_fionbio(&queue, true)?;
        Ok(Rc::new(queue))
    }

    /// Has the calling thread's event loop or runtime watch for events of this queue.
    pub(super) fn watch(self: &Rc<Self>) -> io::Result<Source<Rc<CompletionQueue>>> {
        Source::new(self.clone(), Interest::Read)
    }

    /// Takes completions, and gives each to `handle`. Returns how many there were; there may be more.
    pub(super) fn poll(&self, mut handle: impl FnMut(Completion)) -> io::Result<usize> {
        let mut entries = [const { MaybeUninit::<ibv_wc>::uninit() }; POLL_BATCH];
        // SAFETY: the queue is open, and there is room for as many entries as are asked for.
        let count = unsafe {
            ibv_poll_cq(self.cq.as_ptr(), POLL_BATCH as i32, entries.as_mut_ptr().cast())
        };
        if count < 0 {
            return Err(io::Error::other("RDMA: polling the completion queue failed"));
        }
        for entry in &entries[..count as usize] {
            // SAFETY: ibv_poll_cq has filled in the first `count` entries.
            handle(completion(unsafe { entry.assume_init_ref() }));
        }
        Ok(count as usize)
    }

    /// Asks for an event with the next completion. Completions that came before must be polled after this.
    pub(super) fn request_event(&self) -> io::Result<()> {
        // SAFETY: the queue is open.
        check(unsafe { ibv_req_notify_cq(self.cq.as_ptr(), 0) })
    }

    /// Takes the event that was asked for; false if it has not come.
    pub(super) fn take_event(&self) -> io::Result<bool> {
        let mut cq = ptr::null_mut();
        let mut context = ptr::null_mut();
        // SAFETY: the channel is open and both pointers have room.
        if unsafe { ibv_get_cq_event(self.channel.as_ptr(), &mut cq, &mut context) } != 0 {
            let error = last_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) };
        }
        self.unacknowledged.set(self.unacknowledged.get() + 1);
        if self.unacknowledged.get() >= ACK_BATCH {
            self.acknowledge();
        }
        Ok(true)
    }

    fn acknowledge(&self) {
        // SAFETY: the queue is open, and so many of its events were taken and not acknowledged.
        unsafe { ibv_ack_cq_events(self.cq.as_ptr(), self.unacknowledged.take()) };
    }
}

impl AsFd for CompletionQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the channel, and its descriptor, live as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.channel.as_ref().fd) }
    }
}

impl Drop for CompletionQueue {
    fn drop(&mut self) {
        self.acknowledge();
        // SAFETY: the queue pairs that use it hold references to it, so there are none; its events
        // are acknowledged, so the call does not wait.
        unsafe { ibv_destroy_cq(self.cq.as_ptr()) };
        // SAFETY: its only queue is gone.
        unsafe { ibv_destroy_comp_channel(self.channel.as_ptr()) };
        let _ = &self.domain;
    }
}

fn completion(entry: &ibv_wc) -> Completion {
    let result = if entry.status != ibv_wc_status::IBV_WC_SUCCESS {
        Err(failure(entry.status))
    } else if entry.opcode == ibv_wc_opcode::IBV_WC_RECV_RDMA_WITH_IMM {
        // SAFETY: this opcode carries an immediate; either member of the union is a plain u32.
        Ok(Completed::Immediate(u32::from_be(unsafe {
            entry.imm_data_invalidated_rkey_union.imm_data
        })))
    } else if entry.opcode == ibv_wc_opcode::IBV_WC_RECV {
        Ok(Completed::Message(entry.byte_len as usize))
    } else {
        Ok(Completed::Send)
    };
    Completion { tag: entry.wr_id, result }
}

fn failure(status: ibv_wc_status::Type) -> WorkFailure {
    match status {
        ibv_wc_status::IBV_WC_RETRY_EXC_ERR => WorkFailure::RetryExceeded,
        ibv_wc_status::IBV_WC_RNR_RETRY_EXC_ERR => WorkFailure::ReceiverNotReady,
        ibv_wc_status::IBV_WC_REM_ACCESS_ERR => WorkFailure::RemoteAccess,
        ibv_wc_status::IBV_WC_LOC_LEN_ERR => WorkFailure::MessageTooLong,
        ibv_wc_status::IBV_WC_WR_FLUSH_ERR => WorkFailure::Flushed,
        status => {
            // SAFETY: returns a static C string for any number.
            let name = unsafe { CStr::from_ptr(ibv_wc_status_str(status)) };
            WorkFailure::Status(status, name.to_str().unwrap_or("unknown"))
        }
    }
}

/// Parameters of a queue pair.
pub(super) struct QueuePairOptions {
    /// Number that the completions of sends carry, and that those of receives carry plus the
    /// receive's slot.
    pub(super) tag: u64,
    pub(super) sends: u32,
    pub(super) receives: u32,
    /// Bytes that the device should copy when a work request is posted, if it can.
    pub(super) max_inline: u32,
}

/// A reliable-connection queue pair, with the memory that its work requests name.
pub(super) struct QueuePair {
    qp: NonNull<ibv_qp>,
    id: Id,
    tag: u64,
    max_inline: u32,
    sends: u32,
    receives: u32,
    /// The send buffer: its address, key and length.
    stream: Segment,
    /// Slots for messages that are sent: one for each work request.
    outbound: Memory,
    /// Slots for messages that are received: one for each posted receive.
    inbound: Memory,
    next_outbound: u32,
    next_inbound: u32,
    /// These must outlive the queue pair.
    _completion_queue: Rc<CompletionQueue>,
    _memory: [Rc<Registration>; 2],
}

#[derive(Clone, Copy)]
struct Segment {
    addr: u64,
    length: usize,
    lkey: u32,
}

impl Segment {
    fn of(memory: &Memory) -> Segment {
        Segment { addr: memory.addr(), length: memory.len(), lkey: memory.lkey() }
    }

    fn element(self, range: Range<usize>) -> ibv_sge {
        assert!(range.start <= range.end && range.end <= self.length);
        ibv_sge {
            addr: self.addr + range.start as u64,
            length: range.len() as u32,
            lkey: self.lkey,
        }
    }
}

impl QueuePair {
    /// A queue pair for `id`, whose completions go to `completion_queue`. `stream` is the send
    /// buffer, `region` the memory that the peer will write to, and `control` has room for a message of each
    /// send and each receive.
    pub(super) fn new(
        id: Id,
        completion_queue: &Rc<CompletionQueue>,
        options: &QueuePairOptions,
        stream: &Memory,
        region: &Memory,
        control: Memory,
    ) -> io::Result<Self> {
        let (cq, domain) = (completion_queue.cq, &completion_queue.domain);
        assert_eq!(control.len(), (options.sends + options.receives) as usize * CONTROL_LEN);
        let (outbound, inbound) = control.split_at(options.sends as usize * CONTROL_LEN);
        // A device that cannot copy so much refuses, and may copy less.
        let mut last = None;
        for max_inline in [options.max_inline, 64, CONTROL_LEN as u32, 0] {
            match create_queue_pair(&id, domain, cq, options, max_inline) {
                Ok((qp, max_inline)) => {
                    return Ok(QueuePair {
                        qp,
                        tag: options.tag,
                        max_inline,
                        sends: options.sends,
                        receives: options.receives,
                        stream: Segment::of(stream),
                        outbound,
                        inbound,
                        next_outbound: 0,
                        next_inbound: 0,
                        _completion_queue: completion_queue.clone(),
                        _memory: [stream.registration.clone(), region.registration.clone()],
                        id,
                    });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("at least one attempt"))
    }

    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    /// Bytes up to which the device copies the data when it is posted.
    pub(super) fn max_inline(&self) -> usize {
        self.max_inline as usize
    }

    /// The message in a receive's slot, once that receive has completed with `length` bytes.
    pub(super) fn message(&self, slot: u32, length: usize) -> &[u8] {
        let start = (slot % self.receives) as usize * CONTROL_LEN;
        self.inbound.bytes(start..start + length.min(CONTROL_LEN))
    }

    /// Posts `count` receives: again for the oldest that have completed, or at the start.
    pub(super) fn post_receives(&mut self, mut count: u32) -> io::Result<()> {
        while count > 0 {
            let batch = count.min(BATCH as u32) as usize;
            let mut requests = [const { MaybeUninit::<ibv_recv_wr>::uninit() }; BATCH];
            let mut elements = [const { MaybeUninit::<ibv_sge>::uninit() }; BATCH];
            let inbound = Segment::of(&self.inbound);
            for i in 0..batch {
                let slot = self.next_inbound;
                self.next_inbound = (slot + 1) % self.receives;
                let start = slot as usize * CONTROL_LEN;
                let next =
                    if i + 1 < batch { requests[i + 1].as_mut_ptr() } else { ptr::null_mut() };
                let element = elements[i].write(inbound.element(start..start + CONTROL_LEN));
                requests[i].write(ibv_recv_wr {
                    wr_id: self.tag + u64::from(slot),
                    next,
                    sg_list: element,
                    num_sge: 1,
                });
            }
            let mut bad = ptr::null_mut();
            // SAFETY: a chain of initialised requests that ends with null; the slots they name are
            // of memory that this queue pair owns until after it is destroyed.
            check(unsafe { ibv_post_recv(self.qp.as_ptr(), requests[0].as_mut_ptr(), &mut bad) })?;
            count -= batch as u32;
        }
        Ok(())
    }

    /// Posts everything that `next` gives, as chains with one doorbell each.
    pub(super) fn post_sends(
        &mut self,
        mut next: impl FnMut() -> Option<WorkRequest>,
    ) -> io::Result<usize> {
        let mut posted = 0;
        loop {
            let mut requests = [const { MaybeUninit::<ibv_send_wr>::uninit() }; BATCH];
            let mut elements = [const { MaybeUninit::<ibv_sge>::uninit() }; BATCH];
            let mut count = 0;
            while count < BATCH {
                let Some(work) = next() else { break };
                let element = elements[count].write(self.element(&work));
                let request = requests[count].write(send_request(&work, element, self.max_inline));
                request.wr_id = self.tag;
                if count > 0 {
                    let request: *mut ibv_send_wr = request;
                    // SAFETY: the one before was written in the round before.
                    unsafe { requests[count - 1].assume_init_mut() }.next = request;
                }
                count += 1;
            }
            if count == 0 {
                return Ok(posted);
            }
            let mut bad = ptr::null_mut();
            // SAFETY: a chain of initialised requests that ends with null, each with one element
            // within memory that this queue pair keeps alive until after it is destroyed.
            check(unsafe { ibv_post_send(self.qp.as_ptr(), requests[0].as_mut_ptr(), &mut bad) })?;
            posted += count;
            if count < BATCH {
                return Ok(posted);
            }
        }
    }

    /// Where the data of a work request is.
    fn element(&mut self, work: &WorkRequest) -> ibv_sge {
        match work {
            WorkRequest::Write { local, .. } => self.stream.element(local.clone()),
            WorkRequest::Control { message, .. } => {
                let start = self.next_outbound as usize * CONTROL_LEN;
                self.next_outbound = (self.next_outbound + 1) % self.sends;
                let slot = start..start + CONTROL_LEN;
                // As many slots as the send queue holds: this one's last message has completed.
                self.outbound.bytes_mut(slot.clone()).copy_from_slice(message);
                Segment::of(&self.outbound).element(slot)
            }
        }
    }

    /// To be called once the connection is up: a peer that finds no receive posted retries soon.
    pub(super) fn shorten_retries(&self) -> io::Result<()> {
        // SAFETY: all zeroes are a valid value of this plain structure.
        let mut attributes: ibv_qp_attr = unsafe { mem::zeroed() };
        attributes.min_rnr_timer = MIN_RNR_TIMER;
        let mask = ibv_qp_attr_mask::IBV_QP_MIN_RNR_TIMER.0 as i32;
        // SAFETY: the queue pair is open, and the mask names the one field that was set.
        check(unsafe { ibv_modify_qp(self.qp.as_ptr(), &mut attributes, mask) })
    }
}

impl Drop for QueuePair {
    fn drop(&mut self) {
        // The queue pair first: from then on no device touches the memory. Its unpolled completions
        // stay in the queue, where their tag names no connection any more.
        // SAFETY: created by rdma_create_qp for this id, and destroyed here only.
        unsafe { rdma_destroy_qp(self.id.as_ptr()) };
        self.id.disconnect();
    }
}

fn create_queue_pair(
    id: &Id,
    domain: &ProtectionDomain,
    cq: NonNull<ibv_cq>,
    options: &QueuePairOptions,
    max_inline: u32,
) -> io::Result<(NonNull<ibv_qp>, u32)> {
    // SAFETY: all zeroes are a valid value of this plain structure.
    let mut attributes: ibv_qp_init_attr = unsafe { mem::zeroed() };
    attributes.send_cq = cq.as_ptr();
    attributes.recv_cq = cq.as_ptr();
    attributes.qp_type = ibv_qp_type::IBV_QPT_RC;
    attributes.cap.max_send_wr = options.sends;
    attributes.cap.max_recv_wr = options.receives;
    attributes.cap.max_send_sge = 1;
    attributes.cap.max_recv_sge = 1;
    attributes.cap.max_inline_data = max_inline;
    // SAFETY: id, domain and completion queue are open and of one device, which the call checks.
    check(unsafe { rdma_create_qp(id.as_ptr(), domain.raw.as_ptr(), &mut attributes) })?;
    // SAFETY: the call has set the id's queue pair.
    let qp = NonNull::new(unsafe { (*id.as_ptr()).qp }).expect("rdma_create_qp succeeded");
    Ok((qp, attributes.cap.max_inline_data))
}

fn send_request(work: &WorkRequest, element: *mut ibv_sge, max_inline: u32) -> ibv_send_wr {
    // SAFETY: all zeroes are a valid value of this plain structure.
    let mut request: ibv_send_wr = unsafe { mem::zeroed() };
    request.sg_list = element;
    request.num_sge = 1;
    let (signalled, inline) = match work {
        WorkRequest::Control { signalled, .. } => {
            request.opcode = ibv_wr_opcode::IBV_WR_SEND;
            (*signalled, CONTROL_LEN as u32 <= max_inline)
        }
        WorkRequest::Write { remote, rkey, immediate, signalled, inline, .. } => {
            request.opcode = ibv_wr_opcode::IBV_WR_RDMA_WRITE;
            request.wr.rdma = rdma_t { remote_addr: *remote, rkey: *rkey };
            if let Some(bytes) = immediate {
                request.opcode = ibv_wr_opcode::IBV_WR_RDMA_WRITE_WITH_IMM;
                request.imm_data_invalidated_rkey_union.imm_data = bytes.to_be();
            }
            (*signalled, *inline)
        }
    };
    if signalled {
        request.send_flags |= ibv_send_flags::IBV_SEND_SIGNALED.0;
    }
    if inline {
        request.send_flags |= ibv_send_flags::IBV_SEND_INLINE.0;
    }
    request
}
