// What the client that openapi-generator writes in Go does on the live server.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"

	tasks "github.com/GIT_USER_ID/GIT_REPO_ID"
)

func must(holds bool, what string, seen ...any) {
	if !holds {
		log.Fatalln(what, seen)
	}
}

// answered gives what an answer of this status carries.
func answered[T any](status int) func(T, *http.Response, error) T {
	return func(data T, response *http.Response, err error) T {
		must(err == nil && response.StatusCode == status, "wanted an answer", status, response, err)
		return data
	}
}

// refused gives the problem of an answer that has this status and code.
func refused(status int, code string, response *http.Response, err error) tasks.Problem {
	var cause *tasks.GenericOpenAPIError
	must(errors.As(err, &cause) && response.StatusCode == status, "wanted a problem", status, response, err)
	problem, isProblem := cause.Model().(tasks.Problem)
	seen, _ := json.Marshal(problem.Code)
	must(isProblem && problem.GetStatus() == int32(status) && string(seen) == strconv.Quote(code), "wanted another problem", code, cause.Model())
	return problem
}

// whole is every writable member of a task.
func whole(title string) tasks.TaskUpdate {
	update := *tasks.NewTaskUpdateWithDefaults()
	update.Title, update.Tags = title, []string{"shopping"}
	update.Description.Set(nil)
	update.DueDate.Set(tasks.PtrString("2028-02-29"))
	update.DueTime.Set(tasks.PtrString("18:30"))
	update.Priority.Set(tasks.HIGH.Ptr())
	return update
}

func main() {
	configuration := tasks.NewConfiguration()
	configuration.Servers = tasks.ServerConfigurations{{URL: os.Getenv("TASKS_URL")}}
	api := tasks.NewAPIClient(configuration).TasksAPI
	signedIn := context.WithValue(context.Background(), tasks.ContextAccessToken, os.Getenv("TASKS_TOKEN"))
	const me, later = "me", "later" // for the second the server answers as one of a later version may

	// Create with a key, and again, as if the first answer were lost.
	create := func(title, key string) (*tasks.TaskEnvelope, *http.Response, error) {
		return api.CreateTask(signedIn, me).TaskDraft(*tasks.NewTaskDraft(title)).IdempotencyKey(key).Execute()
	}
	created := answered[*tasks.TaskEnvelope](201)
	task := created(create("Buy milk", "go")).Data
	must(task.Title == "Buy milk" && !task.IsCompleted && !task.CompletedAt.IsSet() || task.CompletedAt.Get() == nil, "created", task)
	again, response, err := create("Buy milk", "go")
	must(err == nil && again.Data.Id == task.Id && response.Header.Get("Idempotency-Replayed") == "true", "replayed", again, err)
	_, response, err = create("Buy jam", "go")
	refused(422, "idempotency-key-reused", response, err)

	// Page by page, newest first.
	ids := []string{task.Id}
	for _, title := range []string{"One", "Two"} {
		ids = append(ids, created(create(title, title)).Data.Id)
	}
	var listed []string
	for cursor, more := "", true; more; {
		request := api.ListTasks(signedIn, me).Limit(2).IsCompleted(false)
		if cursor != "" {
			request = request.Cursor(cursor)
		}
		page := answered[*tasks.TaskPage](200)(request.Execute())
		for _, task := range page.Data {
			listed = append(listed, task.Id)
		}
		next := page.Meta.NextCursor.Get()
		if more = next != nil; more {
			cursor = *next
		}
	}
	must(fmt.Sprint(listed) == fmt.Sprint([]string{ids[2], ids[1], ids[0]}), "listed", listed, ids)

	// Read only what is news: the client takes 304 for an error, and gives the answer away.
	_, response, _ = api.GetTask(signedIn, me, task.Id).IfNoneMatch(task.Etag).Execute()
	must(response.StatusCode == 304, "not modified", response)

	// Two who change the same version: the second is told.
	one := answered[*tasks.TaskEnvelope](200)
	update := func(user, title string) (*tasks.TaskEnvelope, *http.Response, error) {
		return api.UpdateTask(signedIn, user, task.Id).TaskUpdate(whole(title)).IfMatch(`"1"`).Execute()
	}
	must(one(update(me, "Buy oat milk")).Data.Version == 2, "updated")
	_, response, err = update(me, "Buy soy milk")
	problem := refused(412, "version-mismatch", response, err)
	must(problem.GetCurrentVersion() == 2, "current_version", problem)

	// A patch leaves what it does not name.
	patch := tasks.NewTaskPatch()
	patch.SetTitle("Buy two oat milks")
	patched := one(api.PatchTask(signedIn, me, task.Id).TaskPatch(*patch).Execute()).Data
	must(patched.Title == "Buy two oat milks" && !patched.IsCompleted && patched.Version == 3, "patched", patched)

	// Complete without a body.
	done := one(api.CompleteTask(signedIn, me, task.Id).Execute()).Data
	must(done.IsCompleted && done.CompletedAt.Get() != nil, "completed", done)

	// A server of a later version: the task is read as ever, and of the problem status and code.
	must(one(api.GetTask(signedIn, later, task.Id).Execute()).Data.Version == done.Version, "read later")
	_, response, err = update(later, "Milk")
	refused(412, "task-archived", response, err)

	// Delete; a second time there is nothing to delete.
	for _, id := range ids {
		response, err = api.DeleteTask(signedIn, me, id).Execute()
		must(err == nil && response.StatusCode == 204, "deleted", response, err)
	}
	response, err = api.DeleteTask(signedIn, me, task.Id).Execute()
	refused(404, "task-not-found", response, err)
	fmt.Println("openapi-generator, go: the whole story")
}
