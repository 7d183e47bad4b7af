// The stories: what happens to people whose devices are offline for a while. Each library lives through all of them.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Task } from "tasks-api-client";
import type { Open } from "./device.js";
import { draft, Scene, type Server } from "./world.js";

type Story = (scene: Scene) => Promise<void>;

/** How long a device has for what it sends at once. */
const A_MOMENT = 300;

const title = (of: { title?: string } | undefined) => of?.title;

/** Ends A's time offline; what the server has once all is settled. */
async function back(scene: Scene): Promise<Map<string, Task>> {
  scene.a.online = true;
  await sleep(A_MOMENT);
  return scene.settled();
}

/** A task that A has made, and does not know that the server has it; A is offline then. */
async function lostCreation(scene: Scene): Promise<{ id: string }> {
  await scene.given("x");
  const created = draft("created");
  scene.a.lose = 1;
  await scene.A.create(created);
  await sleep(50);
  scene.a.online = false;
  return created;
}

export const stories: Record<string, Story> = {
  "all tasks come, on devices that were never there before": async (scene) => {
    for (let part = 0; part < 3; part += 1) await scene.given(...Array.from({ length: 80 }, (_, n) => `${part} ${n}`));
    const [first] = await scene.given("gone");
    await scene.deleteElsewhere(first!);
    const truth = await scene.settled();
    assert.equal(truth.size, 240);
    await scene.A.close();
    await scene.reopen();
    assert.equal((await scene.settled()).size, 240);
  },

  "a user without a task": async (scene) => {
    assert.equal((await scene.settled()).size, 0);
    await scene.A.create(draft("The first"));
    assert.equal((await scene.settled()).size, 1);
  },

  "three quick edits of one task are all kept": async (scene) => {
    const [id] = await scene.given("x");
    void scene.A.change(id!, { title: "y" });
    void scene.A.change(id!, { priority: "high" });
    await scene.A.change(id!, { description: "z" });
    await sleep(A_MOMENT);
    const { title, priority, description } = (await scene.settled()).get(id!)!;
    assert.deepEqual([title, priority, description], ["y", "high", "z"]);
  },

  "both edit another member": async (scene) => {
    const [id] = await scene.given("x");
    scene.a.online = false;
    await scene.A.change(id!, { title: "by A" });
    await scene.B.change(id!, { priority: "low" });
    await sleep(A_MOMENT);
    const task = (await back(scene)).get(id!)!;
    assert.deepEqual([task.title, task.priority], ["by A", "low"]);
  },

  "both edit the same member": async (scene) => {
    const [id] = await scene.given("x");
    scene.a.online = false;
    await scene.A.change(id!, { title: "by A" });
    await scene.B.change(id!, { title: "by B" });
    await sleep(A_MOMENT);
    assert.match(title((await back(scene)).get(id!))!, /^by [AB]$/);
  },

  "deletions meet edits, deletions, and tasks that the server never saw": async (scene) => {
    const [edited, deleted, both, kept] = await scene.given("edited", "deleted", "both", "kept");
    scene.a.online = false;
    await scene.A.change(edited!, { title: "edited by A" });
    await scene.A.remove(deleted!);
    await scene.A.remove(both!);
    const never = draft("never seen");
    await scene.A.create(never);
    await scene.A.remove(never.id);
    const done = draft("made and done");
    await scene.A.create(done);
    await scene.A.change(done.id, { is_completed: true });
    await scene.B.remove(edited!);
    await scene.B.change(deleted!, { title: "edited by B" });
    await scene.B.remove(both!);
    await sleep(A_MOMENT);
    const truth = await back(scene);
    // An edit of what was deleted has nothing to be of; a deletion that has not seen an edit takes nothing away.
    assert.deepEqual([...truth.keys()].sort(), [deleted!, kept!, done.id].sort());
    assert.equal(title(truth.get(deleted!)), "edited by B");
    assert.equal(truth.get(done.id)!.is_completed, true);
  },

  "who deletes what they have just edited": async (scene) => {
    const [id] = await scene.given("x");
    scene.a.online = false;
    await scene.A.change(id!, { title: "y" });
    await scene.A.remove(id!);
    await sleep(A_MOMENT);
    assert.equal((await back(scene)).size, 0);
  },

  "an answer that is late takes nothing back": async (scene) => {
    const [id] = await scene.given("x");
    scene.a.late = 600;
    await scene.elsewhere(id!, { priority: "high" });
    // What A has asked for is on its way, without the edit that is made now.
    await sleep(100);
    await scene.A.change(id!, { title: "y" });
    for (let looks = 0; looks < 60; looks += 1) {
      assert.equal(title((await scene.A.rows()).get(id!)), "y");
      await sleep(20);
    }
    scene.a.late = 0;
    assert.equal((await scene.settled()).get(id!)!.priority, "high");
  },

  "answers that are lost": async (scene) => {
    const [edited, deleted] = await scene.given("x", "y");
    scene.a.lose = 1;
    const created = draft("created");
    await scene.A.create(created);
    await sleep(A_MOMENT);
    scene.a.lose = 1;
    await scene.A.change(edited!, { title: "z" });
    await sleep(A_MOMENT);
    scene.a.lose = 1;
    await scene.A.remove(deleted!);
    await sleep(A_MOMENT);
    const truth = await scene.settled();
    assert.deepEqual([...truth.keys()].sort(), [edited!, created.id].sort());
    assert.equal(title(truth.get(edited!)), "z");
  },

  "a creation whose answer was lost, and that is edited before it is sent again": async (scene) => {
    const created = await lostCreation(scene);
    await scene.A.change(created.id, { title: "edited", tags: ["home"] });
    await sleep(A_MOMENT);
    const truth = await back(scene);
    assert.equal(truth.size, 2);
    assert.deepEqual([title(truth.get(created.id)), truth.get(created.id)!.tags], ["edited", ["home"]]);
  },

  "a creation whose answer was lost, and that another deletes before it is sent again": async (scene) => {
    const created = await lostCreation(scene);
    await sleep(A_MOMENT);
    await scene.deleteElsewhere(created.id);
    assert.equal((await back(scene)).size, 1);
  },

  "a token that expires": async (scene) => {
    const [id] = await scene.given("x");
    scene.a.online = false;
    await scene.A.change(id!, { title: "edited in the night" });
    await scene.A.create(draft("made in the night"));
    scene.a.stale = 3;
    const truth = await back(scene);
    assert.deepEqual([...truth.values()].map(title).sort(), ["edited in the night", "made in the night"]);
  },

  "a change that the server refuses stops no other": async (scene) => {
    const [id, other] = await scene.given("x", "y");
    await scene.A.change(id!, { title: "x".repeat(201) });
    await scene.A.change(other!, { title: "z" });
    await sleep(A_MOMENT);
    const truth = await scene.settled();
    assert.deepEqual([title(truth.get(id!)), title(truth.get(other!))], ["x", "z"]);
  },

  "the server is away": async (scene) => {
    const [id] = await scene.given("x");
    const again = await scene.server.end();
    await scene.A.change(id!, { title: "meanwhile" });
    await sleep(1000);
    await again();
    await sleep(A_MOMENT);
    assert.equal(title((await scene.settled()).get(id!)), "meanwhile");
  },

  "everything is to be read anew, with work that was not sent": async (scene) => {
    const [edited, vanished, kept] = await scene.given("edited", "vanished", "kept");
    scene.a.online = false;
    await scene.A.change(edited!, { title: "edited by A" });
    const created = draft("created");
    await scene.A.create(created);
    await scene.deleteElsewhere(vanished!);
    scene.server.newEpoch();
    await scene.elsewhere(kept!, { title: "since then" });
    const truth = await back(scene);
    assert.deepEqual([...truth.values()].map(title).sort(), ["created", "edited by A", "since then"]);
  },

  "the database is restored from a copy": async (scene) => {
    const [edited] = await scene.given("edited");
    const restore = scene.server.backUp();
    const lost = draft("acknowledged after the copy");
    await scene.B.create(lost);
    await scene.settled();
    scene.a.online = false;
    await scene.A.change(edited!, { title: "edited by A" });
    await restore();
    const truth = await back(scene);
    assert.deepEqual([...truth.values()].map(title), ["edited by A"]);
  },

  "what is read late does not take back what this device wrote meanwhile": async (scene) => {
    const [id] = await scene.given("x");
    scene.a.late = 600;
    await scene.A.change(id!, { title: "y" });
    // The answer to the waiting request is on its way, with this change and without the next.
    await sleep(150);
    await scene.A.change(id!, { title: "z" });
    for (let looks = 0; looks < 60; looks += 1) {
      assert.equal(title((await scene.A.rows()).get(id!)), "z");
      await sleep(20);
    }
    scene.a.late = 0;
    await scene.settled();
  },

  "nothing is taken back while much is sent": async (scene) => {
    const ids = await scene.given(...Array.from({ length: 40 }, (_, n) => `${n}`));
    scene.a.online = false;
    for (const id of ids) await scene.A.change(id, { title: "by A" });
    for (const id of ids) await scene.elsewhere(id, { priority: "low" });
    scene.a.online = true;
    for (let looks = 0; looks < 100; looks += 1) {
      const rows = await scene.A.rows();
      assert.deepEqual(ids.map((id) => title(rows.get(id))), ids.map(() => "by A"));
      await sleep(7);
    }
    const truth = await scene.settled();
    assert.deepEqual([...truth.values()].map((task) => `${task.title} ${task.priority}`), ids.map(() => "by A low"));
  },

  "what others change while much is sent": async (scene) => {
    const ids = await scene.given(...Array.from({ length: 99 }, (_, n) => `${n}`));
    scene.a.online = false;
    for (const id of ids) await scene.A.change(id, { title: "by A" });
    scene.a.online = true;
    // As soon as the second of them has come, and long before the last.
    while (title((await scene.truth()).get(ids[1]!)) !== "by A") await sleep(1);
    for (const id of ids.slice(1, 6)) await scene.elsewhere(id, { description: "by another" });
    await scene.settled();
  },

  "a network that loses one answer of three": async (scene) => {
    const ids = await scene.given(...Array.from({ length: 12 }, (_, n) => `${n}`));
    scene.a.online = false;
    for (const id of ids) await scene.A.change(id, { title: "by A" });
    scene.a.flaky = 3;
    scene.a.online = true;
    const truth = await scene.settled(60_000);
    assert.deepEqual([...truth.values()].map(title), ids.map(() => "by A"));
  },

  "a copy that is older than what the devices have": async (scene) => {
    const [id] = await scene.given("x");
    const restore = scene.server.backUp();
    for (const title of ["a", "b", "c"]) {
      await scene.A.change(id!, { title });
      await scene.settled();
    }
    await restore();
    const truth = await scene.settled();
    assert.equal(title(truth.get(id!)), "x");
  },

  "a creation whose answer was lost, and that both edit before it is sent again": async (scene) => {
    const created = await lostCreation(scene);
    await scene.A.change(created.id, { title: "by A" });
    await scene.elsewhere(created.id, { priority: "high", tags: ["home"] });
    const task = (await back(scene)).get(created.id)!;
    assert.deepEqual([task.title, task.priority, task.tags], ["by A", "high", ["home"]]);
  },

  "a creation whose answer was lost, that another edits, and that is deleted before it is sent again": async (scene) => {
    const created = await lostCreation(scene);
    await scene.A.remove(created.id);
    await scene.elsewhere(created.id, { priority: "high" });
    assert.equal((await back(scene)).get(created.id)?.priority, "high");
  },

  "a creation whose answer was lost, and that is deleted before it is sent again": async (scene) => {
    const created = await lostCreation(scene);
    await scene.A.remove(created.id);
    assert.equal((await back(scene)).size, 1);
  },

  "a token that expires while nothing is to be sent": async (scene) => {
    const [id] = await scene.given("x");
    scene.a.stale = 1;
    await scene.elsewhere(id!, { title: "y" });
    await sleep(A_MOMENT);
    await scene.elsewhere(id!, { title: "z" });
    assert.equal(title((await scene.settled()).get(id!)), "z");
  },

  "one sets a time, and another takes its day away": async (scene) => {
    const [id] = await scene.given("x");
    await scene.elsewhere(id!, { due_date: "2026-03-01" });
    await scene.settled();
    scene.a.online = false;
    await scene.A.change(id!, { due_time: "18:00", title: "by A" });
    await scene.elsewhere(id!, { due_date: null });
    const task = (await back(scene)).get(id!)!;
    // A time is one of a day.
    assert.deepEqual([task.title, task.due_date, task.due_time], ["by A", "2026-03-01", "18:00"]);
  },

  "who deletes what they edit just now": async (scene) => {
    const [id] = await scene.given("x");
    const edited = scene.A.change(id!, { title: "y" });
    await sleep(3);
    await edited;
    await scene.A.remove(id!);
    await sleep(A_MOMENT);
    assert.equal((await scene.settled()).size, 0);
  },

  "a long time offline, with much done on both sides": async (scene) => {
    const names = Array.from({ length: 60 }, (_, n) => `${n}`);
    const ids = await scene.given(...names);
    scene.a.online = false;
    const made = Array.from({ length: 21 }, (_, n) => draft(`made ${n}`));
    for (const one of made) await scene.A.create(one);
    for (const id of ids.slice(0, 2)) await scene.A.change(id, { title: "renamed by A" });
    await scene.A.change(ids[2]!, { is_completed: true });
    for (const id of ids.slice(3, 6)) await scene.A.remove(id);
    for (const id of ids.slice(10, 14)) await scene.A.change(id, { description: "by A" });
    for (const id of ids.slice(10, 60)) await scene.B.change(id, { priority: "medium" });
    for (const id of ids.slice(10, 60)) await scene.B.change(id, { title: "renamed by B" });
    await sleep(2 * A_MOMENT);
    scene.a.requests = 0;
    scene.a.online = true;
    await sleep(A_MOMENT);
    const truth = await scene.settled(60_000);
    console.log(`    A came back with ${scene.a.requests} requests, B has sent ${scene.b.requests}`);
    assert.equal(truth.size, 60 - 3 + 21);
    for (const one of made) assert.equal(title(truth.get(one.id)), one.title);
    for (const id of ids.slice(0, 2)) assert.equal(title(truth.get(id)), "renamed by A");
    assert.ok(truth.get(ids[2]!)!.is_completed);
    for (const id of ids.slice(10, 14)) {
      const { title, description, priority } = truth.get(id)!;
      assert.deepEqual([title, description, priority], ["renamed by B", "by A", "medium"]);
    }
  },
};

/** Those of libraries that keep on the device what was not sent. */
const kept: Record<string, Story> = {
  "closed offline with work, and opened again": async (scene) => {
    const [id] = await scene.given("x");
    scene.a.online = false;
    await scene.A.change(id!, { title: "edited" });
    const created = draft("created");
    await scene.A.create(created);
    await sleep(A_MOMENT);
    await scene.A.close();
    await scene.elsewhere(id!, { priority: "low" });
    await scene.reopen();
    await sleep(A_MOMENT);
    const shown = await scene.A.rows();
    assert.deepEqual([title(shown.get(id!)), title(shown.get(created.id))], ["edited", "created"]);
    const truth = await back(scene);
    assert.equal(truth.size, 2);
    assert.deepEqual([title(truth.get(id!)), truth.get(id!)!.priority], ["edited", "low"]);
  },
};

/** Lives through the stories, each with a user of its own. */
export async function tell(server: Server, library: string, open: Open, keepsWork: boolean, only = ""): Promise<void> {
  for (const [place, [name, story]] of Object.entries({ ...stories, ...(keepsWork && kept) }).entries()) {
    if (!name.includes(only)) continue;
    const begun = Date.now();
    const scene = await Scene.of(server, `${library}-${place}`, open);
    await story(scene);
    await scene.close();
    console.log(`  ${library}: ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  }
}
