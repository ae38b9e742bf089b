use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::*;
use crate::event_loop::{Interest, Source};
use crate::{Alarm, Connection, Target, connect, unix};

/// Lets every other task that is ready run.
async fn turn() {
    let mut left = 2 * BUSY_TURNS;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn tasks_run_in_turn_and_end() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        for name in ["a", "b"] {
            let seen = seen.clone();
            spawn_local(async move {
                for step in 0..2 {
                    seen.borrow_mut().push((name, step));
                    tokio::task::yield_now().await;
                }
            });
        }
        turn().await;
    })
    .unwrap();
    assert_eq!(*seen.borrow(), [("a", 0), ("b", 0), ("a", 1), ("b", 1)]);
    assert_eq!(Rc::strong_count(&seen), 1, "a task that has ended is dropped");
}

#[test]
fn a_task_that_yields_runs_after_the_tasks_whose_descriptors_are_ready() {
    let steps = Rc::new(Cell::new(0));
    let seen = block_on(async {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let steps = steps.clone();
        let (answer, answered) = oneshot::channel();
        let watched = steps.clone();
        spawn_local(async move {
            let near = Source::new(near, Interest::Read).unwrap();
            poll_fn(|cx| near.poll_readable(cx)).await.unwrap();
            answer.send(watched.get()).unwrap();
        });
        spawn_local(async move {
            for step in 1..100 {
                steps.set(step);
                if step == 50 {
                    (&far).write_all(b"x").unwrap();
                }
                yield_now().await;
            }
        });
        answered.await.unwrap()
    });
    assert_eq!(seen.unwrap(), 50);
}

/// Makes the next idle period one of many polls.
fn expect_polls_to_pay(event_loop: &EventLoop) {
    event_loop.polling.found();
}

#[test]
fn an_idle_period_ends_when_a_descriptor_is_ready_or_another_thread_wakes_a_task() {
    for polls_pay in [false, true] {
        block_on(async {
            let event_loop = EventLoop::current().unwrap();
            let (near, far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let near = Source::new(near, Interest::Read).unwrap();
            let is_readable = || poll_fn(|cx| Poll::Ready(near.poll_readable(cx).is_ready()));
            assert!(!is_readable().await);
            if polls_pay {
                expect_polls_to_pay(&event_loop);
            }
            let writer = thread::spawn(move || {
                (&far).write_all(b"x").unwrap();
                far
            });
            while !is_readable().await {
                event_loop.idle().unwrap();
            }
            let _far = writer.join().unwrap();

            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            if polls_pay {
                expect_polls_to_pay(&event_loop);
            }
            let other = thread::spawn(move || waker.wake());
            while !event_loop.executor.has_ready() {
                event_loop.idle().unwrap();
            }
            other.join().unwrap();
        })
        .unwrap();
    }
}

#[test]
fn tasks_that_have_not_ended_are_dropped_with_the_loop() {
    let (held, notify) = (Rc::new(()), Rc::new(Notify::new()));
    block_on(async {
        for _ in 0..3 {
            let (held, notify) = (held.clone(), notify.clone());
            spawn_local(async move {
                notify.notified().await;
                drop(held);
            });
        }
        let held = held.clone();
        spawn_local(async move {
            let _alarm = Alarm::new().unwrap();
            pending::<()>().await;
            drop(held);
        });
        turn().await;
    })
    .unwrap();
    assert_eq!(Rc::strong_count(&held), 1);
    // The thread is free for another loop.
    assert_eq!(block_on(async { 7 }).unwrap(), 7);
}

#[test]
fn other_threads_wake_a_loop_that_sleeps() {
    let (to_loop, mut from_thread) = tokio::sync::mpsc::unbounded_channel();
    let (to_thread, from_loop) = mpsc::channel();
    let thread = thread::spawn(move || {
        for number in from_loop {
            to_loop.send(number).unwrap();
        }
    });
    let sum = block_on(async move {
        let mut sum = 0;
        for number in 0..2000u64 {
            to_thread.send(number).unwrap();
            sum += from_thread.recv().await.unwrap();
        }
        sum
    });
    assert_eq!(sum.unwrap(), 1999 * 2000 / 2);
    thread.join().unwrap();
}

#[test]
fn other_threads_wake_tasks() {
    let (answer, answered) = oneshot::channel();
    let (wakers, waker) = mpsc::channel::<Waker>();
    let thread = thread::spawn(move || waker.into_iter().for_each(Waker::wake));
    block_on(async move {
        let mut left = 1000;
        spawn_local(async move {
            poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                wakers.send(cx.waker().clone()).unwrap();
                Poll::Pending
            })
            .await;
            answer.send("done").unwrap();
        });
        assert_eq!(answered.await.unwrap(), "done");
    })
    .unwrap();
    thread.join().unwrap();
}

#[test]
fn a_waker_outlives_its_task_and_its_loop() {
    let kept: Rc<RefCell<Vec<Waker>>> = Rc::default();
    block_on(async {
        for _ in 0..2 {
            let kept = kept.clone();
            spawn_local(async move {
                poll_fn(|cx| {
                    kept.borrow_mut().push(cx.waker().clone());
                    Poll::Ready(())
                })
                .await;
            });
            turn().await;
        }
        // The second task may have the first one's place, and is not woken in its stead.
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        spawn_local(poll_fn(move |_| {
            counted.set(counted.get() + 1);
            Poll::Pending
        }));
        turn().await;
        kept.borrow().iter().for_each(Waker::wake_by_ref);
        turn().await;
        assert_eq!(polls.get(), 1);
    })
    .unwrap();
    kept.borrow().iter().for_each(Waker::wake_by_ref);
}

async fn echo(mut connection: Box<dyn Connection>) {
    while matches!(poll_fn(|cx| connection.poll_receive(cx)).await, Ok(1..)) {
        let received = connection.buffers().0.to_vec();
        connection.advance(received.len(), 0);
        connection.queue(received.into());
        poll_fn(|cx| connection.poll_flush(cx)).await.unwrap();
    }
}

#[test]
fn a_long_stream_is_echoed_on_either_kind_of_loop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let (ready, is_ready) = mpsc::channel();
    let server_path = path.clone();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let incoming = runtime.block_on(async {
            let mut listener = unix::listen(&server_path, 0, 8).unwrap();
            ready.send(()).unwrap();
            poll_fn(|cx| listener.poll_accept(cx)).await.unwrap()
        });
        block_on(async { echo(incoming.attach().unwrap()).await }).unwrap();
    });
    is_ready.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let mut connection = connect(&Target::unix(path)).await.unwrap();
        let message: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        connection.queue(message.clone().into());
        let mut got = Vec::new();
        while got.len() < message.len() {
            let received = poll_fn(|cx| {
                let _ = connection.poll_flush(cx)?;
                connection.poll_receive(cx)
            });
            assert!(received.await.unwrap() > 0);
            let bytes = connection.buffers().0.to_vec();
            connection.advance(bytes.len(), 0);
            got.extend(bytes);
        }
        assert!(got == message);
    });
    server.join().unwrap();
}

#[test]
fn an_alarm_rings_on_an_event_loop() {
    block_on(async {
        let alarm = Alarm::new().unwrap();
        for _ in 0..3 {
            let started = std::time::Instant::now();
            alarm.sleep(Duration::from_millis(3)).await;
            assert!(started.elapsed() >= Duration::from_millis(3));
        }
    })
    .unwrap();
}

#[test]
fn a_task_that_works_for_long_lets_others_run_within_it() {
    let seen = block_on(async {
        let (mut far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let again = Rc::new(Notify::new());
        let (ended, end) = oneshot::channel();
        let (others, wakes) = (seen.clone(), again.clone());
        spawn_local(async move {
            let near = Source::new(near, Interest::Read).unwrap();
            poll_fn(|cx| near.poll_readable(cx)).await.unwrap();
            others.borrow_mut().push("descriptor");
            // Wakes a task that is being polled.
            wakes.notify_one();
        });
        let works = seen.clone();
        spawn_local(async move {
            let mut woken = std::pin::pin!(again.notified());
            assert!(poll_once(woken.as_mut()).await.is_pending());
            far.write_all(b"x").unwrap();
            works.borrow_mut().push("begun");
            while works.borrow().len() < 2 {
                run_others().unwrap();
            }
            works.borrow_mut().push("over");
            woken.await;
            ended.send(()).unwrap();
        });
        end.await.unwrap();
        Rc::try_unwrap(seen).unwrap().into_inner()
    })
    .unwrap();
    assert_eq!(seen, ["begun", "descriptor", "over"]);
}

/// One poll of a future, with the waker of the task.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
