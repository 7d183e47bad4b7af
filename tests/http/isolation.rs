//! No operation shows or changes a task without its owner's token: a table over all operations of the document.

use crate::client::id;
use crate::contract::{CONTRACT, Operation};
use crate::request::{body, request};
use crate::server::Server;

on_each_engine!(
    no_operation_works_without_a_token,
    no_operation_works_on_another_users_path,
    no_operation_finds_another_users_task,
    every_operation_works_for_the_owner,
);

fn secured() -> impl Iterator<Item = &'static Operation> {
    let operations = CONTRACT.operations.iter().filter(|operation| operation.is_secured);
    assert!(operations.clone().count() >= 10);
    for operation in &CONTRACT.operations {
        assert_eq!(operation.is_secured, operation.path.starts_with("/api/"), "{}", operation.id);
    }
    operations
}

async fn no_operation_works_without_a_token(server: Server) {
    let task = server.user("alice").create("before").await;
    for operation in secured() {
        for user in ["alice", "me", "bob"] {
            let answer = request(&server.nobody(), operation, user, id(&task)).send().await;
            answer.problem(401, "token-missing");
            assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="tasks-api""#);
        }
    }
    assert_eq!(server.user("alice").all().await, [task]);
}

async fn no_operation_works_on_another_users_path(server: Server) {
    let task = server.user("alice").create("before").await;
    for operation in secured() {
        let answer = request(&server.user("bob"), operation, "alice", id(&task)).send().await;
        answer.problem(403, "user-mismatch");
    }
    assert_eq!(server.user("alice").all().await, [task]);
    assert!(server.user("bob").all().await.is_empty());
}

async fn no_operation_finds_another_users_task(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let task = alice.create("before").await;
    let names_a_task = |operation: &&Operation| {
        operation.path.contains("{id}")
            || body(&operation.id, id(&task)).is_some_and(|body| body.to_string().contains(id(&task)))
    };
    assert_eq!(secured().filter(names_a_task).count(), 8);
    for operation in secured().filter(names_a_task) {
        for user in ["bob", "me"] {
            let answer = request(&bob, operation, user, id(&task)).send().await;
            if operation.id == "bulkDeleteTasks" {
                // What is not there is taken for deleted.
                assert_eq!(answer.status, 204);
            } else {
                answer.problem(404, "task-not-found");
            }
        }
    }
    assert_eq!(alice.all().await, [task]);
    assert!(bob.all().await.is_empty());
}

async fn every_operation_works_for_the_owner(server: Server) {
    let alice = server.user("alice");
    for operation in secured() {
        let task = alice.create("before").await;
        let answer = request(&alice, operation, "me", id(&task)).send().await;
        assert!(matches!(answer.status, 200 | 201 | 204), "{}: {answer:?}", operation.id);
    }
}
