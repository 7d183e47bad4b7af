//! The server on the open internet: strangers who send half of something, read nothing, or come by the thousand.
//!
//! Each test starts the program, does to it what a stranger can do ([`raw`] speaks HTTP/1.1 as bytes, [`frames`] HTTP/2),
//! and holds what the server answers, when it closes, and what it costs: memory, processor, descriptors, and how long ten
//! good requests a second take meanwhile ([`scene`]). No log may hold a token, a secret or a title.
//!
//! They are short by default; `EDGE=long` (`just edge`) makes them as long and as heavy as the promises are worded, one
//! after the other, and holds the times that need a quiet machine and an optimized program. `EDGE=soak` (`just soak`) is a
//! million requests.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::Write;

use libtest_mimic::{Arguments, Trial, run};

#[path = "../support/length.rs"]
mod length;
#[path = "../support/load.rs"]
#[expect(dead_code, reason = "the faults need more of it")]
mod load;
#[path = "../support/server.rs"]
#[expect(dead_code, reason = "the faults need more of it")]
mod server;

mod frames;
mod raw;
mod scene;

mod bodies;
mod connections;
mod ending;
mod heads;
mod outputs;
mod rates;
mod readers;
mod refusals;
mod soak;
mod streams;
mod syntax;

/// Trials of these asynchronous functions, by their names.
macro_rules! trials {
    ($($room:ident :: { $($name:ident),+ $(,)? }),+ $(,)?) => {
        vec![$($(trial(concat!(stringify!($room), "::", stringify!($name)), $room::$name)),+),+]
    };
}

fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test());
        // Clients that still wait for what never comes.
        runtime.shutdown_background();
        Ok(())
    })
}

fn main() {
    let mut arguments = Arguments::from_args();
    if !cfg!(target_os = "linux") {
        let _ = writeln!(std::io::stderr(), "the tests of the edge look at /proc: they are left out here");
        return;
    }
    // The first of them wait for times to be over, and begin together.
    arguments.test_threads.get_or_insert(if length::is_long() { 1 } else { 20 });
    let trials = if scene::is_soak() {
        trials![soak::{a_million_requests_leave_nothing_behind}]
    } else {
        trials![
            heads::{
                heads_without_an_end_are_refused,
                heads_that_do_not_come_are_closed,
                heads_of_16_kib_are_taken_and_of_more_than_32_refused,
            },
            streams::{
                a_connection_has_a_hundred_streams_at_most,
                scripts_that_nobody_reads_are_bounded,
                pages_that_nobody_reads_are_bounded,
                lists_of_agents_that_nobody_reads_are_bounded,
                windows_that_are_never_opened_are_bounded,
                windows_of_a_byte_are_bounded,
                whoever_reads_nothing_takes_nothing_from_others,
                big_heads_are_refused,
            },
            readers::{
                slow_readers_of_the_script_are_closed,
                slow_readers_of_tasks_are_closed,
                whoever_reads_slowly_but_reads_gets_all,
            },
            bodies::{
                unfinished_bodies_of_one_user_lock_nobody_out,
                unfinished_bodies_of_many_users_are_bounded_together,
                a_body_that_does_not_come_is_408,
                a_body_that_does_not_come_is_408_on_http_2,
                a_body_that_stands_still_is_408_long_before_the_deadline,
                a_body_that_comes_slowly_is_taken,
                a_body_is_invited_only_when_it_would_be_taken,
                a_gibibyte_is_refused_at_once,
            },
            refusals::{
                a_refusal_loses_no_request_behind_it,
            },
            connections::{
                a_server_without_descriptors_waits_and_says_so,
                connections_are_counted,
                connections_at_rest_are_kept_and_then_closed,
                ten_thousand_that_connect_and_leave_slow_nobody,
            },
            syntax::{
                hosts_that_are_none_are_refused,
                hosts_that_are_some_are_taken,
                codings_other_than_chunked_are_refused,
            },
            outputs::{
                a_server_that_cannot_write_its_log_serves_on,
                a_server_whose_log_nobody_reads_serves_on,
                lines_that_are_lost_are_counted,
                a_collector_that_gets_nothing_is_told_of,
            },
            ending::{
                no_begun_request_is_cut,
                whoever_sends_half_of_something_holds_no_end_up,
                a_hangup_ends_it_in_order,
                a_hangup_that_is_ignored_stays_ignored,
            },
            rates::{
                a_user_has_so_many_requests,
                an_address_has_so_many_refused_tokens,
                an_address_has_so_many_pages,
                probes_are_exempt,
                no_limit_is_zero,
                six_hundred_is_the_default,
                a_header_that_anybody_can_send_is_not_believed,
                the_address_is_the_last_that_no_proxy_has,
                networks_of_ipv6_count_as_one,
                malformed_proxies_stop_the_start,
                a_flood_of_one_user_slows_nobody,
            },
        ]
    };
    run(&arguments, trials).exit();
}
