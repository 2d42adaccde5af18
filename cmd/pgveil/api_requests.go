package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	strict "github.com/go-jose/go-jose/v4/json" // refuses a name that is there twice

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/requests"
)

// requestRoutes are what is asked for about data subject requests.
var requestRoutes = map[string]privacy.Verb{
	"GET /v1/requests":                       privacy.VerbShowRequests,
	"POST /v1/requests":                      privacy.VerbOpen,
	"GET /v1/requests/{id}":                  privacy.VerbShowRequest,
	"POST /v1/requests/{id}/verify":          privacy.VerbVerify,
	"POST /v1/requests/{id}/plan":            privacy.VerbPlan,
	"POST /v1/requests/{id}/approve":         privacy.VerbApproveRequest,
	"POST /v1/requests/{id}/deny":            privacy.VerbDenyRequest,
	"POST /v1/requests/{id}/cancel":          privacy.VerbCancelRequest,
	"POST /v1/requests/{id}/extend":          privacy.VerbExtendRequest,
	"POST /v1/requests/{id}/run":             privacy.VerbRunRequest,
	"POST /v1/subjects/{kind}/{key}/rectify": privacy.VerbRectify,
	"GET /v1/subjects/{kind}/explain":        privacy.VerbExplain,
	"GET /v1/holds":                          privacy.VerbShowHolds,
	"POST /v1/holds":                         privacy.VerbHold,
	"DELETE /v1/holds/{id}":                  privacy.VerbLiftHold,
}

// changeSet is the new values of columns, by their names; null is none.
type changeSet []privacy.Change

// UnmarshalJSON reads an object in which each column is there once. Columns come
// in the order of their names.
func (c *changeSet) UnmarshalJSON(text []byte) error {
	var all map[string]*string
	if err := strict.Unmarshal(text, &all); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		change := privacy.Change{Column: name, Null: all[name] == nil}
		if !change.Null {
			change.Value = *all[name]
		}
		*c = append(*c, change)
	}
	return nil
}

// requestBody is what a request about requests says. Which fields it may have is
// said by its command.
type requestBody struct {
	What     string    `json:"what"`
	Subject  string    `json:"subject"`
	Key      []string  `json:"key"`
	By       string    `json:"by"`
	Identity string    `json:"identity"`
	Evidence string    `json:"evidence"`
	Regime   string    `json:"regime"`
	Received string    `json:"received"`
	Channel  string    `json:"channel"`
	Purpose  string    `json:"purpose"`
	Reason   string    `json:"reason"`
	Table    string    `json:"table"`
	Row      []string  `json:"row"`
	Changes  changeSet `json:"changes"`
	AtOnce   bool      `json:"at_once"`
	Code     string    `json:"code"`
	Despite  string    `json:"despite"`
	Plan     string    `json:"plan"`
	Until    string    `json:"until"`
}

// fieldsOf are the fields that the body of a command may have.
func fieldsOf(verb privacy.Verb) []string {
	came := []string{"identity", "evidence", "regime", "received", "channel", "reason", "table", "row", "changes"}
	switch verb {
	case privacy.VerbOpen:
		return append(came, "what", "subject", "key", "by", "purpose", "at_once")
	case privacy.VerbRectify:
		return came
	case privacy.VerbVerify:
		return []string{"identity", "evidence"}
	case privacy.VerbDenyRequest:
		return []string{"code", "reason"}
	case privacy.VerbApproveRequest:
		return []string{"plan", "reason"}
	case privacy.VerbCancelRequest, privacy.VerbExtendRequest, privacy.VerbLiftHold:
		return []string{"reason"}
	case privacy.VerbRunRequest:
		return []string{"despite"}
	case privacy.VerbHold:
		return []string{"subject", "key", "by", "table", "until", "reason"}
	default:
		return nil
	}
}

// readBody reads the body of a request, which may be missing where all that it
// could say may be. It gives which fields are there.
func readBody(w http.ResponseWriter, r *http.Request, verb privacy.Verb) (b requestBody, err error) {
	wrong := privacy.Fail(privacy.Syntax, "see /v1/openapi.json", "the body is not the JSON that is expected")
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
	if err != nil {
		return b, wrong
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return b, nil
	}
	if readStrictly(text, &b) != nil {
		return b, wrong
	}
	var there map[string]json.RawMessage
	if json.Unmarshal(text, &there) != nil {
		return b, wrong
	}
	for name := range there {
		if !slices.Contains(fieldsOf(verb), name) {
			return b, privacy.Fail(privacy.Syntax, "see /v1/openapi.json", "the body has a field that is not for this")
		}
	}
	return b, nil
}

// requestedRequest reads what is asked for about data subject requests as the
// command that it is.
func requestedRequest(w http.ResponseWriter, r *http.Request, verb privacy.Verb) (cmd privacy.Command, err error) {
	b, err := readBody(w, r, verb)
	if err != nil {
		return privacy.Command{Verb: verb}, err
	}
	cmd = privacy.Command{Verb: verb, ID: r.PathValue("id"), Because: b.Reason}
	if cmd.ID != "" && !isNumber(cmd.ID) {
		return privacy.Command{Verb: verb}, privacy.Fail(privacy.NotFound, "GET lists those that you may serve", "there is no such number")
	}
	switch verb {
	case privacy.VerbOpen, privacy.VerbRectify:
		return b.opening(r, verb).command()
	case privacy.VerbExplain:
		cmd.Subject = r.PathValue("kind")
		cmd.Request.Format, err = query(r, "as", "TEXT", "DOT", "SVG")
		return cmd, err
	case privacy.VerbShowRequests:
		word, err := query(r, "state")
		if err == nil {
			err = requests.Lists(word)
		}
		if err == nil { // nothing else that stands there is for the access log
			cmd.Request.Format = word
		}
		return cmd, err
	case privacy.VerbVerify:
		cmd.Request.Identity, _ = policy.IdentityNamed(b.Identity)
		cmd.Request.Evidence = b.Evidence
	case privacy.VerbApproveRequest:
		cmd.Request.Plan = b.Plan
	case privacy.VerbRunRequest:
		cmd.Request.Despite = b.Despite
	case privacy.VerbDenyRequest:
		if !slices.Contains(privacy.DenialCodes(), b.Code) {
			return cmd, privacy.Fail(privacy.Syntax, privacy.DidYouMean(b.Code, privacy.DenialCodes()), "it is not said why it is denied: a code is missing")
		}
		cmd.Request.Code = b.Code
	case privacy.VerbHold:
		cmd.Subject, cmd.Key, cmd.Before, cmd.Request.Table = b.Subject, privacy.Key{Column: b.By, Values: b.Key}, b.Until, b.Table
		if (b.Subject == "") == (b.Table == "") || (b.Subject == "") != (len(b.Key) == 0) {
			return cmd, privacy.Fail(privacy.Syntax, "a subject and its key, or a table", "it is not said what is held")
		}
	}
	return cmd, reasoned(cmd)
}

// reasoned refuses a command that needs a reason and has none.
func reasoned(cmd privacy.Command) error {
	switch cmd.Verb {
	case privacy.VerbDenyRequest, privacy.VerbCancelRequest, privacy.VerbExtendRequest, privacy.VerbHold, privacy.VerbLiftHold:
		if strings.TrimSpace(cmd.Because) == "" {
			return privacy.Fail(privacy.Syntax, "", "a reason is missing")
		}
	}
	return nil
}

func (b requestBody) opening(r *http.Request, verb privacy.Verb) opening {
	o := opening{
		What: b.What, Subject: b.Subject, Key: b.Key, By: b.By, Identity: b.Identity, Evidence: b.Evidence, Regime: b.Regime, Received: b.Received,
		Channel: b.Channel, Purpose: b.Purpose, Reason: b.Reason, Table: b.Table, Row: b.Row, Changes: b.Changes, AtOnce: b.AtOnce,
	}
	if verb == privacy.VerbRectify {
		o.What, o.Subject, o.Key, o.AtOnce = policy.Rectification.String(), r.PathValue("kind"), []string{r.PathValue("key")}, true
	}
	return o
}

// query gives the one thing that may stand behind the question mark, in capitals
// where it is one of some words.
func query(r *http.Request, name string, words ...string) (string, error) {
	all := r.URL.Query()
	value := all.Get(name)
	if words != nil {
		value = strings.ToUpper(value)
	}
	if len(all) > 1 || len(all) == 1 && len(all[name]) != 1 || words != nil && value != "" && !slices.Contains(words, value) {
		return "", privacy.Fail(privacy.Syntax, "see /v1/openapi.json", "what stands behind the question mark is not understood")
	}
	return value, nil
}

// isNumber tells whether a text is the number of a request or a hold.
func isNumber(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n > 0 && strconv.FormatInt(n, 10) == text
}

// aboutRequest tells whether a command's answer is a request.
func aboutRequest(verb privacy.Verb) bool {
	switch verb {
	case privacy.VerbOpen, privacy.VerbErase, privacy.VerbRectify, privacy.VerbVerify, privacy.VerbPlan, privacy.VerbApproveRequest,
		privacy.VerbDenyRequest, privacy.VerbCancelRequest, privacy.VerbExtendRequest, privacy.VerbRunRequest, privacy.VerbShowRequest:
		return true
	default:
		return false
	}
}

// numberOf gives the number of the request that a command was about, or opened.
func numberOf(cmd privacy.Command, rows [][]string) int64 {
	text := cmd.ID
	if text == "" && len(rows) > 0 {
		text = rows[0][0]
	}
	n, _ := strconv.ParseInt(text, 10, 64) // 0 is no request's
	return n
}

// answer makes what is answered of the rows of a command.
func (a *api) answer(ctx context.Context, cmd privacy.Command, rows [][]string, by proxy.Officer) (any, error) {
	switch {
	case aboutRequest(cmd.Verb):
		return a.service.Look(ctx, numberOf(cmd, rows), asker(by))
	case cmd.Verb == privacy.VerbExplain:
		var lines []string
		for _, row := range rows {
			lines = append(lines, row[0])
		}
		return map[string]string{"graph": strings.Join(lines, "\n")}, nil
	case cmd.Changes():
		return named(cmd, rows)[0], nil
	default:
		return map[string]any{"rows": named(cmd, rows)}, nil
	}
}

// show answers what is asked about requests.
func (a *api) show(ctx context.Context, cmd privacy.Command, by proxy.Officer) (any, int64, error) {
	if cmd.Verb == privacy.VerbShowRequest {
		v, err := a.service.Look(ctx, numberOf(cmd, nil), asker(by))
		return v, 1, err
	}
	all, cut, err := a.service.Views(ctx, cmd.Request.Format, asker(by))
	return map[string]any{"requests": all, "cut": cut}, int64(len(all)), err
}

// servesAny tells whether an access has a right of data subjects to serve.
func servesAny(a *policy.Access) bool {
	return slices.ContainsFunc(policy.RequestTypes(), func(t policy.RequestType) bool { return a.May(t.Right()) })
}
