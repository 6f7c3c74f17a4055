// SPDX-License-Identifier: MIT

//! Rayon under the contract of contract.hpp (Debian: librust-rayon-dev).
//! Left out: tasks that wait (hop, when_all, channels, herd) and the "task" form of the computations, which are not what it is for.

mod common;

use common::*;
use rayon::prelude::*;
use rayon::{join, ThreadPool, ThreadPoolBuilder};
use std::sync::Arc;

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn spawn_inside(threads: usize) -> Measured {
    let pool = pool(threads);
    timed(spawns(), || {
        pool.scope(|scope| {
            for _ in 0..spawns() {
                scope.spawn(|_| ());
            }
        })
    })
}
fn spawn_foreign(threads: usize) -> Measured {
    let pool = pool(threads);
    timed(spawns(), || {
        let running = Arc::new(Countdown::new(spawns()));
        for _ in 0..spawns() {
            let counted = running.clone();
            pool.spawn(move || counted.count_down());
        }
        running.wait();
    })
}

fn fib(n: i64) -> i64 {
    if n < 2 {
        return n;
    }
    let (a, b) = join(|| fib(n - 1), || fib(n - 2));
    a + b
}
fn skynet(number: i64, size: i64) -> i64 {
    if size == 1 {
        return number;
    }
    let part = size / 10;
    (0..10i32).into_par_iter().with_max_len(1).map(|i| skynet(number + i64::from(i) * part, part)).sum()
}
fn queens(taken: &Board, row: usize, size: usize, first: usize) -> i64 {
    if row == size {
        return 1;
    }
    match taken.free(row, size, first) {
        None => 0,
        Some(column) => {
            let (with, without) =
                join(|| queens(&taken.with(row, column), row + 1, size, 0), || queens(taken, row, size, column + 1));
            with + without
        }
    }
}

fn fib_join(threads: usize) -> Measured {
    let pool = pool(threads);
    fib_measured(|| pool.install(|| fib(fib_n())))
}
fn skynet_join(threads: usize) -> Measured {
    let pool = pool(threads);
    skynet_measured(|| pool.install(|| skynet(0, skynet_size())))
}
fn queens_join(threads: usize) -> Measured {
    let pool = pool(threads);
    queens_measured(|| pool.install(|| queens(&Board::empty(), 0, queens_n(), 0)))
}

fn array() -> Vec<u32> {
    (0..scaled(1_000_000, 1_000) as u32).collect()
}
fn parallel_for(threads: usize) -> Measured {
    let pool = pool(threads);
    let passes = scaled(100, 2);
    let mut all = array();
    timed(passes * all.len() as i64, || {
        for _ in 0..passes {
            pool.install(|| all.par_iter_mut().for_each(|each| *each = each.wrapping_mul(3).wrapping_add(1)));
        }
    })
}
fn parallel_reduce(threads: usize) -> Measured {
    let pool = pool(threads);
    let passes = scaled(100, 2);
    let all = array();
    let expected: u64 = all.iter().map(|&each| u64::from(each)).sum();
    timed(passes * all.len() as i64, || {
        for _ in 0..passes {
            let sum: u64 = pool.install(|| all.par_iter().map(|&each| u64::from(each)).sum());
            assert_eq!(sum, expected);
        }
    })
}

fn ask(pool: &ThreadPool) {
    assert_eq!(pool.install(|| 2), 2);
}
fn round_trip(threads: usize) -> Measured {
    let pool = pool(threads);
    timed(trips(), || (0..trips()).for_each(|_| ask(&pool)))
}
fn round_trip_cold(threads: usize) -> Measured {
    let pool = pool(threads);
    after_quiet(|| ask(&pool))
}

fn main() {
    run(&[
        ("spawn_inside", spawn_inside),
        ("spawn_foreign", spawn_foreign),
        ("fib_join", fib_join),
        ("skynet_join", skynet_join),
        ("queens_join", queens_join),
        ("matmul", matmul::measured),
        ("parallel_for", parallel_for),
        ("parallel_reduce", parallel_reduce),
        ("round_trip", round_trip),
        ("round_trip_cold", round_trip_cold),
    ]);
}

/// As bench/parallel/matmul.hpp: by quarters of c, four at a time; the leaf is compiled by itself.
mod matmul {
    use super::{join, pool, scaled, timed, Measured};

    const BLOCK: usize = 32;

    /// Parts of the matrices. Those of c that are written at the same time do not overlap, which the compiler cannot see.
    #[derive(Clone, Copy)]
    struct Block {
        a: *const f32,
        b: *const f32,
        c: *mut f32,
        size: usize,
        stride: usize,
    }
    unsafe impl Send for Block {}
    unsafe impl Sync for Block {}

    impl Block {
        unsafe fn quarter(&self, row: usize, column: usize, k: usize) -> Block {
            let half = self.size / 2;
            let at = |row: usize, column: usize| row * half * self.stride + column * half;
            Block {
                a: self.a.add(at(row, k)),
                b: self.b.add(at(k, column)),
                c: self.c.add(at(row, column)),
                size: half,
                stride: self.stride,
            }
        }
        #[inline(never)]
        unsafe fn multiply_block(&self) {
            for i in 0..self.size {
                let sums = std::slice::from_raw_parts_mut(self.c.add(i * self.stride), self.size);
                for k in 0..self.size {
                    let factor = *self.a.add(i * self.stride + k);
                    let row = std::slice::from_raw_parts(self.b.add(k * self.stride), self.size);
                    for (sum, each) in sums.iter_mut().zip(row) {
                        *sum += factor * each;
                    }
                }
            }
        }
        unsafe fn multiply(&self) {
            if self.size <= BLOCK {
                return self.multiply_block();
            }
            for k in 0..2 {
                let part = |row, column| self.quarter(row, column, k).multiply();
                join(|| join(|| part(0, 0), || part(0, 1)), || join(|| part(1, 0), || part(1, 1)));
            }
        }
    }

    pub fn measured(threads: usize) -> Measured {
        let pool = pool(threads);
        let size = scaled(1024, 64) as usize;
        let a: Vec<f32> = (0..size * size).map(|i| (i / size % 8) as f32).collect();
        let b: Vec<f32> = (0..size * size).map(|i| (i % 8) as f32).collect();
        let mut c = vec![0f32; size * size];
        timed(1, || {
            c.fill(0.0);
            let all = Block { a: a.as_ptr(), b: b.as_ptr(), c: c.as_mut_ptr(), size, stride: size };
            pool.install(|| unsafe { all.multiply() });
            assert!((0..size * size).all(|i| c[i] == a[i] * b[i] * size as f32));
        })
    }
}
