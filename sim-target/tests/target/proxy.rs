//! The proxy: what goes through it is the same, however it is cut.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use sim_target::proxy::{Proxy, Segmentation};

/// Both ends of a connection through a proxy.
fn through(segmentation: Segmentation) -> (Proxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap(), segmentation).unwrap();
    let client = TcpStream::connect(proxy.address()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (proxy, client, server)
}

#[test]
fn bytes_go_both_ways_and_an_end_is_passed_on() {
    for segmentation in Segmentation::ALL {
        let (proxy, mut client, mut server) = through(segmentation);
        let content: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let echo = thread::spawn(move || {
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            server.write_all(&all).unwrap();
        });
        client.write_all(&content).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert!(back == content, "{segmentation:?}");
        echo.join().unwrap();
        assert_eq!(proxy.connections(), 1);
    }
}

#[test]
fn what_is_glued_arrives_in_one_piece() {
    let (_proxy, mut client, mut server) = through(Segmentation::Glue);
    client.set_nodelay(true).unwrap();
    for byte in 0..100 {
        client.write_all(&[byte]).unwrap();
    }
    let mut first = [0; 1000];
    let count = server.read(&mut first).unwrap();
    // A pause of this very thread may have come between.
    assert!(count > 1, "{count}");
}

#[test]
fn a_reset_is_passed_on_as_a_reset() {
    for segmentation in Segmentation::ALL {
        let (_proxy, mut client, server) = through(segmentation);
        // Closing with bytes unread is a reset.
        client.write_all(b"unread").unwrap();
        server.peek(&mut [0]).unwrap();
        drop(server);
        let error = client.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{segmentation:?}");
    }
}

#[test]
fn without_the_proxy_its_connections_are_reset() {
    let (proxy, mut client, _server) = through(Segmentation::Whole);
    drop(proxy);
    assert_eq!(client.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}
