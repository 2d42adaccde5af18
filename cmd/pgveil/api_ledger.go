package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	strict "github.com/go-jose/go-jose/v4/json" // refuses a name that is there twice

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/requests"
)

// routes are the requests that are served, and the commands that they are.
var routes = map[string]privacy.Verb{
	"GET /v1/subjects/{kind}/{key}/consents":        privacy.VerbConsents,
	"POST /v1/subjects/{kind}/{key}/consents":       privacy.VerbConsent,
	"GET /v1/subjects/{kind}/{key}/restrictions":    privacy.VerbRestrictions,
	"POST /v1/subjects/{kind}/{key}/restrictions":   privacy.VerbRestrict,
	"DELETE /v1/subjects/{kind}/{key}/restrictions": privacy.VerbLiftRestriction,
	"POST /v1/subjects/{kind}/{key}/objections":     privacy.VerbObject,
	"DELETE /v1/subjects/{kind}/{key}/objections":   privacy.VerbLiftObjection,

	"GET /v1/sessions":                 privacy.VerbSessions,
	"DELETE /v1/sessions/{session}":    privacy.VerbKill,
	"DELETE /v1/users/{user}/sessions": privacy.VerbKill,
	"GET /v1/quarantines":              privacy.VerbQuarantines,
	"POST /v1/quarantines":             privacy.VerbQuarantine,
	"DELETE /v1/quarantines":           privacy.VerbRelease,
}

// ledgerBody is what a request says. Which fields it may have is said by its
// command.
type ledgerBody struct {
	Consent      string `json:"consent"`
	Withdraw     bool   `json:"withdraw"`
	Method       string `json:"method"`
	Wording      string `json:"wording"`
	Language     string `json:"language"`
	Jurisdiction string `json:"jurisdiction"`
	Until        string `json:"until"`
	Purpose      string `json:"purpose"`
	Reason       string `json:"reason"`
}

// requested reads a request as the command that it is.
func requested(w http.ResponseWriter, r *http.Request, verb privacy.Verb) (privacy.Command, error) {
	switch {
	case proxy.ContainmentColumns(verb) != nil:
		return requestedContainment(w, r, verb)
	case !ledgerVerb(verb):
		return requestedRequest(w, r, verb)
	}
	cmd := privacy.Command{Verb: verb, Subject: r.PathValue("kind"), Key: privacy.Key{Values: []string{r.PathValue("key")}}}
	if !cmd.Changes() {
		return cmd, nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
	var b ledgerBody
	if err != nil || readStrictly(text, &b) != nil {
		return cmd, privacy.Fail(privacy.Syntax, "see /v1/openapi.json", "the body is not the JSON that is expected")
	}
	cmd.Purpose, cmd.Because = b.Purpose, b.Reason
	cmd.Consent = privacy.Consent{Name: b.Consent, Withdraw: b.Withdraw, Method: b.Method, Wording: b.Wording, Language: b.Language, Jurisdiction: b.Jurisdiction, Until: b.Until}
	if err := cmd.Bounded(); err != nil {
		return cmd, err
	}
	given := cmd.Consent.Wording + cmd.Consent.Language + cmd.Consent.Jurisdiction + cmd.Consent.Until
	object := verb == privacy.VerbObject || verb == privacy.VerbLiftObjection
	switch consent := verb == privacy.VerbConsent; {
	case consent && cmd.Purpose != "", !consent && cmd.Consent != privacy.Consent{}, b.Withdraw && given != "", consent && !b.Withdraw && b.Reason != "":
		return cmd, privacy.Fail(privacy.Syntax, "see /v1/openapi.json", "the body has a field that is not for this")
	case object && cmd.Purpose == "":
		return cmd, privacy.Fail(privacy.Syntax, "an objection is to a purpose", "the purpose is missing")
	}
	return cmd, nil
}

// ledgerVerb tells whether a command is about what data subjects said.
func ledgerVerb(verb privacy.Verb) bool {
	switch verb {
	case privacy.VerbConsent, privacy.VerbConsents, privacy.VerbRestrict, privacy.VerbObject, privacy.VerbLiftRestriction,
		privacy.VerbLiftObjection, privacy.VerbRestrictions:
		return true
	default:
		return false
	}
}

// readStrictly reads JSON that means one thing to all who read it: text, each name
// once and as it is spelled here, none that is not known, and nothing behind it.
func readStrictly[T any](text []byte, into *T) error {
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil {
		return err
	}
	var names map[string]strict.RawMessage
	if err := strict.Unmarshal(text, &names); err != nil {
		return err
	}
	for name := range names {
		if name != strings.ToLower(name) {
			return fmt.Errorf("%q is spelled otherwise", name)
		}
	}
	// What is no text, in the bytes or in an escape, is read as the replacement
	// character, and would be written down as that.
	if all := fmt.Sprint(*into); !utf8.Valid(text) || strings.ContainsRune(all, utf8.RuneError) {
		return errors.New("it is not text")
	}
	return nil
}

// admit gives who asks. Where that is nobody, it has said so.
func (a *api) admit(w http.ResponseWriter, r *http.Request) (by proxy.Officer, ok bool) {
	by, err := a.caller(r)
	if errors.Is(err, errNoToken) {
		a.log.Info("api: refused", "client", r.RemoteAddr, "err", err)
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuseHTTP(w, http.StatusUnauthorized, privacy.Fail("28000", "", "a token that is known is needed"))
		return by, false
	}
	if err != nil {
		a.failed(w, err)
		return by, false
	}
	return by, true
}

// record is what the access log has of a command.
func (a *api) record(r *http.Request, by proxy.Officer, cmd privacy.Command) audit.Record {
	access := by.Access
	set, cat := a.service.Data.Current()
	return audit.Record{
		Kind: audit.KindPrivacy, Login: access.Login, User: access.User, Roles: access.Roles, Client: r.RemoteAddr, App: "api",
		Database: a.database, Command: "PRIVACY", Shape: requests.Recorded(cmd, set, cat).Shape(),
	}
}

// serve answers one request: nothing is done, and nothing told, without a
// durable record of it.
func (a *api) serve(w http.ResponseWriter, r *http.Request, verb privacy.Verb) {
	by, ok := a.admit(w, r)
	if !ok {
		return
	}
	cmd, err := requested(w, r, verb)
	if err == nil {
		err = a.mayAsk(by, cmd)
	}
	record := a.record(r, by, cmd)
	select { // from here on nobody waits for the client
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-r.Context().Done():
		return
	}
	var body any
	if err == nil {
		body, record.Rows, err = a.run(r.Context(), cmd, record, by)
	}
	said := a.close(&record, err)
	if logged := a.witness(r.Context(), record); logged != nil {
		a.failed(w, errors.Join(err, logged))
		return
	}
	switch {
	case said != nil:
		refuseHTTP(w, statusOf(said.Code), said)
	case err != nil:
		a.failed(w, err)
	default:
		answered(w, verb, body)
	}
}

// answered answers what went well. A request that was opened has an address.
func answered(w http.ResponseWriter, verb privacy.Verb, body any) {
	v, is := body.(requests.View)
	if is && (verb == privacy.VerbOpen || verb == privacy.VerbRectify) {
		w.Header().Set("Location", "/v1/requests/"+v.RequestID)
		answerHTTP(w, http.StatusCreated, body)
		return
	}
	answerHTTP(w, http.StatusOK, body)
}

func (a *api) mayAsk(by proxy.Officer, cmd privacy.Command) error {
	access := by.Access
	if a.server != nil {
		if err := a.server.Barred(by); err != nil {
			return err
		}
	}
	if cmd.Numbered() {
		if !servesAny(access) {
			return privacy.Fail(privacy.NotAllowed, "ask for a role with rights under privacy", "the token's user may not serve data subjects")
		}
		return nil // which right it needs depends on what was asked for: asker
	}
	return mayBy(access, cmd.Right())
}

// mayBy says why a token's user may not serve a right.
func mayBy(access *policy.Access, right string) error {
	if right == "" || !access.May(right) {
		return privacy.Fail(privacy.NotAllowed, fmt.Sprintf("ask for a role with the right %q under privacy, which needs no second factor", right),
			"the token's user may not do this")
	}
	return nil
}

// asker is a token's user, as the service knows who asks. A token that is known
// says for certain whose it is.
func asker(by proxy.Officer) requests.By {
	return requests.By{User: by.Access.User, Proven: true, May: func(right string) error { return mayBy(by.Access, right) }}
}

// run runs a command once its record is durable, and gives what is answered and
// how many rows that is.
func (a *api) run(ctx context.Context, cmd privacy.Command, record audit.Record, by proxy.Officer) (body any, n int64, err error) {
	var rows [][]string
	if cmd.Changes() {
		record.Message = "to be written"
		rows, err = a.service.Change(ctx, cmd, asker(by), func(ctx context.Context, digest string) error {
			record.Event = digest
			return a.witness(ctx, record)
		})
		if err != nil {
			return nil, 0, err
		}
		body, err = a.answer(context.WithoutCancel(ctx), cmd, rows, by)
		return body, int64(len(rows)), err
	}
	record.Message = "begun"
	if err := a.witness(ctx, record); err != nil {
		return nil, 0, err
	}
	switch {
	case cmd.Verb == privacy.VerbShowRequest, cmd.Verb == privacy.VerbShowRequests:
		return a.show(ctx, cmd, by)
	case proxy.ContainmentColumns(cmd.Verb) != nil:
		rows, err = a.contain(ctx, cmd, by)
	default:
		_, err = a.service.Run(ctx, cmd, asker(by), func(row []string) error { rows = append(rows, slices.Clone(row)); return nil })
	}
	if err != nil {
		return nil, 0, err
	}
	body, err = a.answer(ctx, cmd, rows, by)
	return body, int64(len(rows)), err
}

// witness writes a record durably.
func (a *api) witness(ctx context.Context, record audit.Record) error {
	seq, err := a.audit.Append(&record)
	if err != nil {
		return err
	}
	return a.audit.Sync(ctx, seq)
}

func columnsOf(cmd privacy.Command) []string {
	if columns := proxy.ContainmentColumns(cmd.Verb); columns != nil {
		return columns
	}
	return requests.Columns(cmd)
}

// named gives rows with the names of their columns.
func named(cmd privacy.Command, rows [][]string) []map[string]string {
	all := make([]map[string]string, len(rows))
	for i, row := range rows {
		all[i] = map[string]string{}
		for j, column := range columnsOf(cmd) {
			all[i][column] = row[j]
		}
	}
	return all
}

// failed answers where it is not the request's fault. Why is for the log.
func (a *api) failed(w http.ResponseWriter, err error) {
	a.log.Error("api", "err", err)
	refuseHTTP(w, http.StatusInternalServerError, privacy.Fail("XX000", "", "it could not be done: see pgveil's log"))
}
