// What an app does on a device, whichever library keeps its tasks.

import type { Task, TaskDraft, TaskPatch, TasksClient } from "tasks-api-client";

/** A device of a user. What it is told shows at once, and is sent when the network allows. */
export interface Device {
  /** The tasks as the app shows them now, by id. What the server makes of one may be missing until it was sent. */
  rows(): Promise<Map<string, Partial<Task>>>;
  /** A new task, under an id that the app made. */
  create(draft: TaskDraft & { id: string }): Promise<void>;
  /** Changes some members of a task that is there. */
  change(id: string, patch: TaskPatch): Promise<void>;
  /** Deletes a task that is there. */
  remove(id: string): Promise<void>;
  /** Ends the app. */
  close(): Promise<void>;
}

/** What a device knows of the network. */
export interface Network {
  /** Whose device it is. */
  userId: string;
  /** A client of the server, by this device's network. */
  api: TasksClient;
  isOnline(): boolean;
  /** Tells when the network comes and goes; answers what ends that. */
  onChange(tell: () => void): () => void;
}

/** Opens the app on a device. The same `name` again is the same device, with what it kept. */
export type Open = (network: Network, name: string) => Promise<Device>;
