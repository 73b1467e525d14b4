//! Reads net.inet.tcp.pcblist_n as a program of macOS would, part by part, and finds its own sockets there.

use std::ffi::{CStr, c_char, c_void};
use std::net::{TcpListener, TcpStream};
use std::ptr::null_mut;

unsafe extern "C" {
    fn sysctlbyname(name: *const c_char, to: *mut c_void, size: *mut usize, new: *mut c_void, new_size: usize) -> i32;
    fn getpid() -> u32;
    fn getuid() -> u32;
}

fn read(name: &CStr) -> Vec<u8> {
    let mut size = 0;
    assert_eq!(unsafe { sysctlbyname(name.as_ptr(), null_mut(), &mut size, null_mut(), 0) }, 0);
    size *= 2; // sockets come and go
    let mut bytes = vec![0u8; size];
    assert_eq!(unsafe { sysctlbyname(name.as_ptr(), bytes.as_mut_ptr().cast(), &mut size, null_mut(), 0) }, 0);
    bytes.truncate(size);
    bytes
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn port(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The parts of the sockets, each by its own length; the kinds in their order.
fn parts(bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let ends = number(bytes, 0) as usize;
    let (mut rest, mut parts) = (&bytes[ends..bytes.len() - ends], Vec::new());
    while !rest.is_empty() {
        let length = number(rest, 0) as usize;
        parts.push((number(rest, 4), &rest[..length]));
        rest = &rest[length.next_multiple_of(8)..];
    }
    parts
}

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let ours = TcpStream::connect(address).expect("a connection");
    let theirs = listener.accept().expect("a connection").0;
    let six = TcpListener::bind("[::1]:0").expect("a port");
    let bytes = read(c"net.inet.tcp.pcblist_n");
    let parts = parts(&bytes);
    println!("{} {}", number(&bytes, 0), parts.len() == 6 * number(&bytes, 4) as usize);
    println!(
        "{}",
        parts[..6].iter().map(|(kind, part)| format!("{kind:#x}:{}", part.len())).collect::<Vec<_>>().join(" ")
    );
    let (mine, my_port) = (address.port(), ours.local_addr().expect("an address").port());
    let wanted = [(mine, 0), (my_port, mine), (mine, my_port), (six.local_addr().expect("an address").port(), 0)];
    for (local, foreign) in wanted {
        for one in parts.chunks(6) {
            let [inpcb, socket, tcpcb] = [0, 1, 5].map(|index| one[index].1);
            if (port(inpcb, 18), port(inpcb, 16)) != (local, foreign) {
                continue;
            }
            let (version, host) = (inpcb[44], if inpcb[44] == 1 { &inpcb[76..80] } else { &inpcb[64..80] });
            let (user, process) =
                (number(socket, 64) == unsafe { getuid() }, number(socket, 68) == unsafe { getpid() });
            let (state, effective) = (number(tcpcb, 36), number(socket, 72) == number(socket, 68));
            println!("{version} {host:?} {user} {process} {effective} {state}");
        }
    }
    drop((ours, theirs));
}
