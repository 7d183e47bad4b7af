//! Whoever asks and does not take the answer, or a byte a second.

use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::length::{millis, scaled, seconds};
use crate::raw::{Raw, each, head};
use crate::scene::Scene;

pub(crate) async fn slow_readers_of_the_script_are_closed() {
    let scene = Scene::new().await;
    // Not compressed: 1.4 MB each.
    slow_readers(&scene, scaled(100, 1_000), head("GET", "/docs/swagger-ui.js", "")).await;
}

pub(crate) async fn slow_readers_of_tasks_are_closed() {
    let scene = Scene::new().await;
    scene.fill("stranger").await;
    let token = format!("Authorization: Bearer {}\r\n", scene.server.token("stranger"));
    let page = head("GET", "/api/me/tasks?limit=100", &token);
    slow_readers(&scene, scaled(100, 1_000), page.repeat(8)).await;
}

/// So many send this and take a byte a second of the answer, one half of them, and the other none.
async fn slow_readers(scene: &Scene, count: usize, text: String) {
    let before = scene.server.descriptors();
    let readers = each(scene.server.address(), count, |n, address| {
        let text = text.clone();
        async move {
            // One after another: that a thousand pages asked for at once take their time is another thing.
            sleep(millis(4) * u32::try_from(n).unwrap()).await;
            let mut raw = Raw::narrow(&address).await;
            raw.send(text).await.unwrap();
            while n % 2 == 0 && raw.reader.read_u8().await.is_ok() {
                sleep(seconds(1)).await;
            }
            // The connection is held on this side.
            sleep(seconds(600)).await;
        }
    });
    let watch = async {
        let began = Instant::now();
        while scene.server.descriptors() < before + count {
            assert!(began.elapsed() < seconds(20), "they cannot connect");
            sleep(millis(20)).await;
        }
        scene.open(before, seconds(60)).await
    };
    let seen = scene
        .under(async {
            tokio::select! {
                open = watch => open,
                _ = readers => panic!("the readers ended"),
            }
        })
        .await;
    assert_eq!(seen.outcome, 0, "they are still open after 60 s");
    seen.assert_bounded();
}

/// Over a thin link, for longer than a silence may last; in long runs for longer than a connection may rest.
pub(crate) async fn whoever_reads_slowly_but_reads_gets_all() {
    let scene = Scene::new().await;
    let mut raw = Raw::narrow(&scene.server.address()).await;
    raw.send(head("GET", "/docs/swagger-ui.js", "Connection: close\r\n")).await.unwrap();
    let (began, mut bytes) = (Instant::now(), Vec::new());
    let pause = scaled(millis(70), millis(250));
    loop {
        let mut piece = [0; 4096];
        match raw.reader.read(&mut piece).await.unwrap() {
            0 => break,
            count => bytes.extend_from_slice(&piece[..count]),
        }
        sleep(pause).await;
    }
    println!("{} bytes in {:?}", bytes.len(), began.elapsed());
    assert!(began.elapsed() > scaled(seconds(22), seconds(80)), "it was not slow");
    let text = String::from_utf8_lossy(&bytes);
    let length = text.split("ontent-length: ").nth(1).or(text.split("ontent-Length: ").nth(1)).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    assert_eq!(bytes.len() - at - 4, length);
}
