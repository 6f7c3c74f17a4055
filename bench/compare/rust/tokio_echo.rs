// SPDX-License-Identifier: MIT

//! Echo server on Tokio (Debian: librust-tokio-dev, written for 1.24) under the command line of server_options.hpp: one task per
//! connection, its buffer in the task. In its favour: with one worker the runtime that has only the current thread.

use std::io::{Result, Write};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

async fn session(mut peer: TcpStream, buffer_bytes: usize) -> Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let received = peer.read(&mut buffer).await?;
        if received == 0 {
            return Ok(());
        }
        peer.write_all(&buffer[..received]).await?;
    }
}

/// Keeps its thread, again and again: as compute_for() of server_options.hpp.
async fn hog(length: Duration) {
    loop {
        let since = Instant::now();
        while since.elapsed() < length {}
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn serve(host: String, port: u16, buffer_bytes: usize, stalls: usize, stall_ms: u64) -> Result<()> {
    let listener = TcpListener::bind((host, port)).await?;
    for _ in 0..stalls {
        tokio::spawn(hog(Duration::from_millis(stall_ms)));
    }
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (peer, _) = listener.accept().await?;
        peer.set_nodelay(true)?;
        tokio::spawn(session(peer, buffer_bytes));
    }
}

fn main() -> Result<()> {
    let (mut host, mut port, mut workers, mut buffer_bytes) = ("127.0.0.1".to_string(), 0, 1, 4096);
    let (mut stalls, mut stall_ms) = (0, 200);
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--host" => host = value,
            "--port" => port = value.parse().unwrap(),
            "--workers" => workers = value.parse().unwrap(),
            "--buffer" => buffer_bytes = value.parse().unwrap(),
            "--stalls" => stalls = value.parse().unwrap(),
            "--stall-ms" => stall_ms = value.parse().unwrap(),
            _ => panic!("{name}: no such option"),
        }
    }
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.worker_threads(workers).enable_all().build()?;
    if workers == 1 {
        runtime.block_on(serve(host, port, buffer_bytes, stalls, stall_ms))
    } else {
        runtime.block_on(async move { tokio::spawn(serve(host, port, buffer_bytes, stalls, stall_ms)).await.unwrap() })
    }
}
