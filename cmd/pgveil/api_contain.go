package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/proxy"
)

// containBody is what a request about sessions and quarantines says.
type containBody struct {
	User    string `json:"user"`
	Login   string `json:"login"`
	Address string `json:"address"`
	For     string `json:"for"`
	Reason  string `json:"reason"`
}

// requestedContainment reads a request about sessions and quarantines. To end a
// session nothing need be said.
func requestedContainment(w http.ResponseWriter, r *http.Request, verb privacy.Verb) (privacy.Command, error) {
	cmd := privacy.Command{Verb: verb}
	var b containBody
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
	if err != nil || len(text) > 0 && readStrictly(text, &b) != nil || len(text) == 0 && verb == privacy.VerbQuarantine {
		return cmd, privacy.Fail(privacy.Syntax, "see /v1/openapi.json", "the body is not the JSON that is expected")
	}
	if b.For != "" {
		if cmd.For, err = time.ParseDuration(b.For); err != nil || cmd.For == 0 {
			return cmd, privacy.Fail(privacy.Syntax, "as in 24h", "this is not a time")
		}
	}
	cmd.Because = b.Reason
	said := 0
	for who, name := range map[policy.Target]string{policy.TargetUser: b.User, policy.TargetLogin: b.Login, policy.TargetAddress: b.Address} {
		if name != "" {
			cmd.Whom, said = privacy.Whom{Who: who, Name: name}, said+1
		}
	}
	targets := verb == privacy.VerbQuarantine || verb == privacy.VerbRelease
	if said > 1 || said > 0 && !targets || b.For != "" && verb != privacy.VerbQuarantine || b.Reason != "" && !targets && verb != privacy.VerbKill {
		return cmd, privacy.Fail(privacy.Syntax, "see /v1/openapi.json", "the body has a field that is not for this")
	}
	if verb == privacy.VerbKill {
		if cmd.Session = r.PathValue("session"); cmd.Session == "" {
			cmd.Whom = privacy.Whom{Who: policy.TargetUser, Name: r.PathValue("user")}
		}
	}
	return cmd, cmd.Contained()
}

// contain runs a command about sessions and quarantines.
func (a *api) contain(ctx context.Context, cmd privacy.Command, by proxy.Officer) ([][]string, error) {
	if a.server == nil {
		return nil, privacy.Fail(privacy.NotAvailable, "", "there are no sessions here")
	}
	return a.server.RunContainment(ctx, cmd, by)
}
