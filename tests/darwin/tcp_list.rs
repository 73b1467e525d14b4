//! net.inet.tcp.pcblist_n, by the layouts of bsd/netinet/in_pcb.h, tcp_var.h and bsd/sys/socketvar.h
//! (xnu-10063.101.15).

use crate::machrun::Program;

#[test]
fn every_socket_is_listed_with_its_user_its_process_and_its_state() {
    let Some(program) = Program::named("tcp_list") else { return };
    let told = program.says(&[]);
    let lines: Vec<_> = told.lines().collect();
    let parts = "0x10:104 0x1:104 0x2:32 0x4:32 0x8:136 0x20:204";
    // The version; this user, this process, by both; TCPS_LISTEN 1, TCPS_ESTABLISHED 4.
    let (listening, connected) = ("1 [127, 0, 0, 1] true true true 1", "1 [127, 0, 0, 1] true true true 4");
    let of_ipv6 = "2 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] true true true 1";
    assert_eq!(lines, ["24 true", parts, listening, connected, connected, of_ipv6]);
}
