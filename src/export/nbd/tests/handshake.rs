//! What is agreed before the first request.

use std::sync::Arc;

use super::client::string;
use super::*;
use crate::export::nbd::wire::{command, option, reply, transmission_flag as flag};

#[tokio::test]
async fn an_export_says_what_it_is_like() {
    let stage = Stage::with(16 * MIB, |geometry| geometry.rotational = true);
    let (mut client, _) = stage.connect();
    client.greet().await;
    client.structured_replies().await;
    let export = client.describe(option::INFO, NAME).await.expect("the export");
    assert_eq!((export.size, export.name.as_deref()), (16 * MIB, Some(NAME)));
    assert_eq!(export.description.as_deref(), Some("iSCSI unit of 16 MiB in 512-byte blocks"));
    assert_eq!(export.block_sizes, Some([512, 4096, 32 << 20]));
    let able = flag::HAS_FLAGS | flag::SEND_FLUSH | flag::SEND_FUA | flag::SEND_TRIM | flag::SEND_WRITE_ZEROES;
    let more = flag::SEND_DF | flag::CAN_MULTI_CONN | flag::SEND_FAST_ZERO | flag::ROTATIONAL;
    assert_eq!(export.flags, able | more);
    // INFO does not end the handshake, GO does.
    client.go(NAME).await;
    assert_eq!(client.ask(command::FLUSH, 0, 0, 0).await, (0, String::new()));
}

#[tokio::test]
async fn what_a_unit_cannot_do_is_not_offered() {
    let stage = Stage::with(MIB, |geometry| geometry.max_unmap_blocks = 0);
    let (mut client, _) = stage.connect();
    client.greet().await;
    let flags = client.go(NAME).await.flags;
    assert_eq!(flags & (flag::SEND_TRIM | flag::SEND_DF), 0, "neither trim nor DF without structured replies");

    let stage = Stage::with(MIB, |geometry| geometry.read_only = true);
    let (mut client, _) = stage.connect();
    client.greet().await;
    let flags = client.go(NAME).await.flags;
    assert_ne!(flags & flag::READ_ONLY, 0);
    assert_eq!(flags & (flag::SEND_TRIM | flag::SEND_WRITE_ZEROES | flag::SEND_FAST_ZERO), 0);
}

#[tokio::test]
async fn preferred_sizes_are_powers_of_two_that_fit_the_blocks() {
    for (block, physical, optimal, preferred) in [
        (4096, 4096, 262_144, 4096),
        (512, 512, 98_304, 65_536),
        (65_536, 65_536, 65_536, 65_536),
        (512, 12_288, 512, 16_384),
    ] {
        let stage = Stage::with(16 * MIB, |geometry| {
            geometry.blocks = 16 * MIB / u64::from(block);
            (geometry.block_size, geometry.physical_block_size) = (block, physical);
            geometry.optimal_transfer = optimal;
        });
        let (mut client, _) = stage.connect();
        client.greet().await;
        assert_eq!(client.go(NAME).await.block_sizes, Some([block, preferred, 32 << 20]));
    }
}

#[tokio::test]
async fn all_units_are_listed_by_name_and_description() {
    let stage = Stage::with(MIB, |_| {});
    stage.registry.insert("eui.0123456789abcdef/7".to_owned(), stage.disk.clone());
    let (mut client, _) = stage.connect();
    client.greet().await;
    let replies = client.option(option::LIST, &[]).await;
    let description = "iSCSI unit of 1 MiB in 512-byte blocks";
    let server = |name| (reply::SERVER, [string(name), description.into()].concat());
    assert_eq!(replies, [server("eui.0123456789abcdef/7"), server(NAME), (reply::ACK, vec![])]);
    let [(refused, _)] = &client.option(option::LIST, b"x").await[..] else { panic!("one reply") };
    assert_eq!(*refused, reply::ERR_INVALID);
}

#[tokio::test]
async fn an_unknown_export_is_refused_by_a_sentence_and_another_can_be_chosen() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, _) = stage.connect();
    client.greet().await;
    for option in [option::INFO, option::GO] {
        let (error, why) = client.describe(option, "iqn.2026-01.example:nothing/0").await.expect_err("not there");
        let told = format!("no unit of that name is logged in; there are: {NAME}");
        assert_eq!((error, why), (reply::ERR_UNKNOWN, told));
    }
    assert_eq!(client.go(NAME).await.size, MIB);
}

#[tokio::test]
async fn the_old_way_in_works_with_and_without_zeroes() {
    let stage = Stage::with(MIB, |_| {});
    for (flags, zeroes) in [(3u32, 0), (1, 124), (0, 124)] {
        let (mut client, _) = stage.connect();
        client.bytes(18).await;
        client.send(&flags.to_be_bytes()).await;
        client.send_option(option::EXPORT_NAME, NAME.as_bytes()).await;
        let answer = client.bytes(10 + zeroes).await;
        assert_eq!(answer[..8], MIB.to_be_bytes());
        assert_eq!(client.read_simply(0, 512).await, Ok(vec![0; 512]));
    }
    let (mut client, server) = stage.connect();
    client.greet().await;
    client.send_option(option::EXPORT_NAME, b"nothing").await;
    assert_eq!(client.rest().await, b"");
    server.await.expect("no panic");
}

#[tokio::test]
async fn there_are_no_metadata_contexts_and_saying_so_is_not_an_error() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, _) = stage.connect();
    client.greet().await;
    let query = [string(NAME), 1u32.to_be_bytes().to_vec(), string("base:allocation")].concat();
    let kinds = |replies: Vec<(u32, Vec<u8>)>| replies.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    assert_eq!(kinds(client.option(option::SET_META_CONTEXT, &query).await), [reply::ERR_INVALID]);
    client.structured_replies().await;
    assert_eq!(kinds(client.option(option::LIST_META_CONTEXT, &query).await), [reply::ACK]);
    assert_eq!(kinds(client.option(option::SET_META_CONTEXT, &query).await), [reply::ACK]);
    assert_eq!(kinds(client.option(option::SET_META_CONTEXT, &query[..20]).await), [reply::ERR_INVALID]);
    let other = [string("nothing"), 0u32.to_be_bytes().to_vec()].concat();
    assert_eq!(kinds(client.option(option::SET_META_CONTEXT, &other).await), [reply::ERR_UNKNOWN]);
}

#[tokio::test]
async fn unknown_options_are_answered_and_abort_ends_it() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, server) = stage.connect();
    client.greet().await;
    for option in [4, 5, 11, 0xffff_ffff] {
        let [(refused, _)] = &client.option(option, b"whatever").await[..] else { panic!("one reply") };
        assert_eq!(*refused, reply::ERR_UNSUP);
    }
    assert_eq!(client.option(option::ABORT, &[]).await, [(reply::ACK, vec![])]);
    assert_eq!(client.rest().await, b"");
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_unit_that_comes_later_can_be_had_then() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, _) = stage.connect();
    client.greet().await;
    client.describe(option::INFO, "late/1").await.expect_err("not yet");
    stage.registry.insert("late/1".to_owned(), Arc::clone(&stage.disk) as _);
    assert_eq!(client.go("late/1").await.size, MIB);
}

// check: nbd-no-name
#[tokio::test]
async fn no_name_means_the_only_unit() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, _) = stage.connect();
    client.greet().await;
    let query = [string(""), 0u32.to_be_bytes().to_vec()].concat();
    client.structured_replies().await;
    assert_eq!(client.option(option::SET_META_CONTEXT, &query).await, [(reply::ACK, vec![])]);
    assert_eq!(client.describe(option::INFO, "").await.expect("the unit").name.as_deref(), Some(NAME));
    assert_eq!(client.go("").await.size, MIB);

    let (mut old, _) = stage.connect();
    old.greet().await;
    old.send_option(option::EXPORT_NAME, b"").await;
    assert_eq!(old.bytes(10).await[..8], MIB.to_be_bytes());
    assert_eq!(old.read_simply(0, 512).await, Ok(vec![0; 512]));
}

// check: nbd-no-name
#[tokio::test]
async fn no_name_among_several_units_is_answered_by_their_names() {
    let stage = Stage::with(MIB, |_| {});
    stage.registry.insert("eui.0123456789abcdef/7".to_owned(), stage.disk.clone());
    let (mut client, _) = stage.connect();
    client.greet().await;
    let (error, why) = client.describe(option::GO, "").await.expect_err("which one?");
    assert_eq!(error, reply::ERR_UNKNOWN);
    assert!(why.contains("eui.0123456789abcdef/7") && why.contains(NAME), "{why}");
    for number in 0..100 {
        stage.registry.insert(format!("iqn.2026-01.example:{}/{number}", "x".repeat(190)), stage.disk.clone());
    }
    let (_, why) = client.describe(option::GO, "").await.expect_err("which one?");
    assert!(why.len() <= 4096 && why.ends_with('…'), "{} bytes", why.len());

    let nothing = Stage::with(MIB, |_| {});
    nothing.registry.remove(NAME);
    let (mut client, _) = nothing.connect();
    client.greet().await;
    let refused = client.describe(option::GO, "").await.expect_err("nothing is there");
    assert_eq!(refused, (reply::ERR_UNKNOWN, "no unit is logged in".to_owned()));
}
