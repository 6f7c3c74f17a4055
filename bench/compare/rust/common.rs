// SPDX-License-Identifier: MIT

//! The contract of contract.hpp for the programs in Rust, and what both of them compute.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::Condvar;
use std::sync::Mutex;
use std::time::{Duration, Instant};

static SMOKE: AtomicBool = AtomicBool::new(false); // relaxed: set before anything runs

pub fn scaled(full: i64, in_smoke_run: i64) -> i64 {
    if SMOKE.load(Ordering::Relaxed) {
        in_smoke_run
    } else {
        full
    }
}

pub struct Measured {
    ns_per_item: f64,
    items: i64,
}

pub fn per(items: i64, took: Duration) -> Measured {
    Measured { ns_per_item: took.as_nanos() as f64 / items as f64, items }
}

/// Calls `body`, which does so many items, twice and takes the time of the second.
pub fn timed(items: i64, mut body: impl FnMut()) -> Measured {
    body();
    let begin = Instant::now();
    body();
    per(items, begin.elapsed())
}

/// `trip` once to warm up, then so often, each time after a millisecond of quiet, which does not count.
pub fn after_quiet(mut trip: impl FnMut()) -> Measured {
    let count = scaled(300, 5);
    trip();
    let mut sum = Duration::ZERO;
    for _ in 0..count {
        std::thread::sleep(Duration::from_millis(1));
        let begin = Instant::now();
        trip();
        sum += begin.elapsed();
    }
    per(count, sum)
}

pub fn spawns() -> i64 {
    scaled(1_000_000, 1_000)
}
pub fn trips() -> i64 {
    scaled(20_000, 100)
}
pub fn fib_n() -> i64 {
    scaled(32, 10)
}
pub fn skynet_size() -> i64 {
    scaled(1_000_000, 100)
}
pub fn queens_n() -> usize {
    scaled(12, 6) as usize
}
pub fn fib_measured(mut compute: impl FnMut() -> i64) -> Measured {
    timed(scaled(3_524_577, 88), || assert_eq!(compute(), scaled(2_178_309, 55)))
}
pub fn skynet_measured(mut compute: impl FnMut() -> i64) -> Measured {
    let size = skynet_size();
    timed(size, || assert_eq!(compute(), size * (size - 1) / 2))
}
pub fn queens_measured(mut compute: impl FnMut() -> i64) -> Measured {
    timed(1, || assert_eq!(compute(), scaled(14_200, 4)))
}

/// Queens on a board, in the rows that are taken so far.
#[derive(Clone, Copy)]
pub struct Board([i8; 12]);

impl Board {
    pub fn empty() -> Board {
        Board([0; 12])
    }
    pub fn may_stand(&self, row: usize, column: usize) -> bool {
        (0..row).all(|i| {
            let apart = (column as i32 - self.0[i] as i32).unsigned_abs() as usize;
            apart != 0 && apart != row - i
        })
    }
    pub fn with(&self, row: usize, column: usize) -> Board {
        let mut next = *self;
        next.0[row] = column as i8;
        next
    }
    /// The first column from `first` on, below `size`, that is free.
    pub fn free(&self, row: usize, size: usize, first: usize) -> Option<usize> {
        (first..size).find(|&column| self.may_stand(row, column))
    }
}

/// How many have not ended; the thread that measures sleeps until none is left.
pub struct Countdown {
    left: AtomicI64,
    over: Mutex<bool>,
    ended: Condvar,
}

impl Countdown {
    pub fn new(count: i64) -> Countdown {
        Countdown { left: AtomicI64::new(count), over: Mutex::new(false), ended: Condvar::new() }
    }
    pub fn count_down(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.over.lock().unwrap() = true;
            self.ended.notify_one();
        }
    }
    pub fn wait(&self) {
        let mut over = self.over.lock().unwrap();
        while !*over {
            over = self.ended.wait(over).unwrap();
        }
    }
}

pub type Workload = (&'static str, fn(usize) -> Measured);

pub fn run(workloads: &[Workload]) {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() == 2 && arguments[1] == "--list" {
        for (name, _) in workloads {
            println!("{name}");
        }
        return;
    }
    if arguments.len() == 2 && arguments[1] == "--version" {
        return println!("{}", env!("LIBRARY")); // set by cargo.sh
    }
    if arguments.len() >= 4 && arguments[2] == "--threads" {
        let chosen = workloads.iter().find(|(name, _)| *name == arguments[1]);
        if let (Some((name, function)), Ok(threads @ 1..)) = (chosen, arguments[3].parse()) {
            SMOKE.store(arguments.get(4).map_or(false, |given| given == "--smoke"), Ordering::Relaxed);
            let result = function(threads);
            println!("{name} {threads} {:.3} {}", result.ns_per_item, result.items);
            return;
        }
    }
    eprintln!("usage: {} --list, --version, or WORKLOAD --threads N [--smoke]", arguments[0]);
    std::process::exit(2);
}
