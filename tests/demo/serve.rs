//! The application of the demo: serves the files below a directory over HTTP/1.0 on a free port of the loopback
//! address, which it prints. `/` is `templates/index.html`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Component, Path, PathBuf};

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let target = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
        let target = if target.is_empty() { "templates/index.html" } else { target };
        let plain = Path::new(target).components().all(|part| matches!(part, Component::Normal(_)));
        let answer = match std::fs::read(root.join(target)) {
            Ok(body) if plain => [b"HTTP/1.0 200 OK\r\n\r\n", body.as_slice()].concat(),
            _ => b"HTTP/1.0 404 Not Found\r\n\r\nnot found\n".to_vec(),
        };
        // A client that has gone is no fault of the server's.
        let _ = stream.write_all(&answer);
    }
    Ok(())
}
