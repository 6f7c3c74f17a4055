// SPDX-License-Identifier: MIT

//! Tokio's multi-threaded runtime under the contract of contract.hpp (Debian: librust-tokio-dev, written for 1.24).
//! Left out: the "join" form and loops over borrowed data, for which its users take Rayon; channels with several receivers, and of
//! capacity 0, which it does not have.

mod common;

use common::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, Notify};
use tokio::task::{yield_now, JoinSet};

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).build().unwrap()
}

/// Runs it on a worker: what block_on() is given runs on the calling thread.
fn inside<T: Send + 'static>(runtime: &Runtime, future: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(runtime.spawn(future)).unwrap()
}

fn hops(threads: usize, tasks: i64) -> Measured {
    let runtime = runtime(threads);
    let count = scaled(640_000, 640);
    timed(count, || {
        inside(&runtime, async move {
            let mut hopping = JoinSet::new();
            for _ in 0..tasks {
                hopping.spawn(async move {
                    for _ in 0..count / tasks {
                        yield_now().await;
                    }
                });
            }
            while hopping.join_next().await.is_some() {}
        })
    })
}

fn spawn_inside(threads: usize) -> Measured {
    let runtime = runtime(threads);
    timed(spawns(), || {
        inside(&runtime, async {
            let started: Vec<_> = (0..spawns()).map(|_| tokio::spawn(async {})).collect();
            for each in started {
                each.await.unwrap();
            }
        })
    })
}
fn spawn_foreign(threads: usize) -> Measured {
    let runtime = runtime(threads);
    timed(spawns(), || {
        let running = Arc::new(Countdown::new(spawns()));
        for _ in 0..spawns() {
            let counted = running.clone();
            runtime.spawn(async move { counted.count_down() });
        }
        running.wait();
    })
}

fn when_all(threads: usize, children: i64) -> Measured {
    let runtime = runtime(threads);
    let count = scaled(1_000_000, 10_000);
    timed(count, || {
        let sum = inside(&runtime, async move {
            let mut sum = 0;
            for _ in 0..count / children {
                let mut running = JoinSet::new();
                for _ in 0..children {
                    running.spawn(async { 1i64 });
                }
                while let Some(value) = running.join_next().await {
                    sum += value.unwrap();
                }
            }
            sum
        });
        assert_eq!(sum, count);
    })
}

// ---- computations: one child is spawned, the other awaited in place

type Boxed = Pin<Box<dyn Future<Output = i64> + Send>>;

fn fib(n: i64) -> Boxed {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let a = tokio::spawn(fib(n - 1));
        let b = fib(n - 2).await;
        a.await.unwrap() + b
    })
}
fn skynet(number: i64, size: i64) -> Boxed {
    Box::pin(async move {
        if size == 1 {
            return number;
        }
        let part = size / 10;
        let children: Vec<_> = (1..10).map(|i| tokio::spawn(skynet(number + i * part, part))).collect();
        let mut sum = skynet(number, part).await;
        for each in children {
            sum += each.await.unwrap();
        }
        sum
    })
}
fn queens(taken: Board, row: usize, size: usize, first: usize) -> Boxed {
    Box::pin(async move {
        if row == size {
            return 1;
        }
        match taken.free(row, size, first) {
            None => 0,
            Some(column) => {
                let with = tokio::spawn(queens(taken.with(row, column), row + 1, size, 0));
                let without = queens(taken, row, size, column + 1).await;
                with.await.unwrap() + without
            }
        }
    })
}

fn fib_task(threads: usize) -> Measured {
    let runtime = runtime(threads);
    fib_measured(|| inside(&runtime, fib(fib_n())))
}
fn skynet_task(threads: usize) -> Measured {
    let runtime = runtime(threads);
    skynet_measured(|| inside(&runtime, skynet(0, skynet_size())))
}
fn queens_task(threads: usize) -> Measured {
    let runtime = runtime(threads);
    queens_measured(|| inside(&runtime, queens(Board::empty(), 0, queens_n(), 0)))
}

// ---- channels

fn channel(threads: usize) -> Measured {
    let runtime = runtime(threads);
    let count = scaled(400_000, 4_000);
    timed(count, || {
        let received = inside(&runtime, async move {
            let (to, mut from) = mpsc::channel(1024);
            tokio::spawn(async move {
                for i in 0..count {
                    to.send(i).await.unwrap();
                }
            });
            let mut received = 0;
            while from.recv().await.is_some() {
                received += 1;
            }
            received
        });
        assert_eq!(received, count);
    })
}
fn unbounded(threads: usize) -> Measured {
    let runtime = runtime(threads);
    let count = scaled(400_000, 4_000);
    timed(count, || {
        let received = inside(&runtime, async move {
            let (to, mut from) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                for i in 0..count {
                    to.send(i).unwrap();
                }
            });
            let mut received = 0;
            while from.recv().await.is_some() {
                received += 1;
            }
            received
        });
        assert_eq!(received, count);
    })
}

// ---- round trip, herd

fn ask(runtime: &Runtime) {
    assert_eq!(inside(runtime, async { 2 }), 2);
}
fn round_trip(threads: usize) -> Measured {
    let runtime = runtime(threads);
    timed(trips(), || (0..trips()).for_each(|_| ask(&runtime)))
}
fn round_trip_cold(threads: usize) -> Measured {
    let runtime = runtime(threads);
    after_quiet(|| ask(&runtime))
}

async fn wake_herd(sleepers: i64) -> Duration {
    let start = Arc::new(Notify::new());
    let asleep = Arc::new(Notify::new());
    let left = Arc::new(std::sync::atomic::AtomicI64::new(sleepers));
    let mut herd = JoinSet::new();
    for _ in 0..sleepers {
        let (start, asleep, left) = (start.clone(), asleep.clone(), left.clone());
        herd.spawn(async move {
            let woken = start.notified(); // from here on notify_waiters() reaches it
            if left.fetch_sub(1, std::sync::atomic::Ordering::AcqRel) == 1 {
                asleep.notify_one();
            }
            woken.await;
        });
    }
    asleep.notified().await;
    let woken = Instant::now();
    start.notify_waiters();
    while herd.join_next().await.is_some() {}
    woken.elapsed()
}
fn herd(threads: usize) -> Measured {
    let runtime = runtime(threads);
    let sleepers = scaled(10_000, 100);
    let herds = scaled(20, 2);
    inside(&runtime, wake_herd(sleepers));
    let sum = (0..herds).map(|_| inside(&runtime, wake_herd(sleepers))).sum();
    per(sleepers * herds, sum)
}

fn main() {
    run(&[
        ("hop_1", |threads| hops(threads, 1)),
        ("hop_64", |threads| hops(threads, 64)),
        ("spawn_inside", spawn_inside),
        ("spawn_foreign", spawn_foreign),
        ("when_all_10", |threads| when_all(threads, 10)),
        ("when_all_1000", |threads| when_all(threads, 1000)),
        ("fib_task", fib_task),
        ("skynet_task", skynet_task),
        ("queens_task", queens_task),
        ("channel_1_1", channel),
        ("unbounded_1_1", unbounded),
        ("round_trip", round_trip),
        ("round_trip_cold", round_trip_cold),
        ("herd", herd),
    ]);
}
