package main

import (
	"slices"
	"strings"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// opening is what a data subject asks for, as the command line, a line of a
// batch and the HTTP interface say it.
type opening struct {
	What, Subject string
	Key           []string
	By            string // the column that the key is of; "": the subject's key
	Identity      string
	Evidence      string
	Regime        string
	Received      string
	Channel       string
	Purpose       string
	Reason        string
	Table         string // of rectifications; "": the subject's own row
	Row           []string
	Changes       []privacy.Change
	AtOnce        bool // of erasures and rectifications: they run as soon as they have what they need
}

// command gives the command that opens it. What the grammar of PRIVACY commands
// asks for is asked for here as well.
func (o opening) command() (privacy.Command, error) {
	what, ok := policy.RequestTypeNamed(o.What)
	if !ok {
		return privacy.Command{}, privacy.Fail(privacy.Syntax, privacy.DidYouMean(o.What, requestTypes()), "it is not said what is asked for")
	}
	identity, ok := policy.IdentityNamed(o.Identity)
	if !ok && o.Identity != "" {
		return privacy.Command{}, privacy.Fail(privacy.Syntax, "one of "+strings.Join(policy.Identities(), ", "), "an identity is not checked like that")
	}
	cmd := privacy.Command{
		Verb: privacy.VerbOpen, Subject: o.Subject, Key: privacy.Key{Column: o.By, Values: o.Key}, Purpose: o.Purpose, Because: o.Reason,
		Request: privacy.Request{
			What: what, Identity: identity, Evidence: o.Evidence, Regime: o.Regime, Received: o.Received, Channel: o.Channel,
			Table: o.Table, Row: o.Row, Changes: o.Changes,
		},
	}
	switch {
	case o.AtOnce && what == policy.Erasure:
		cmd.Verb = privacy.VerbErase
	case o.AtOnce && what == policy.Rectification:
		cmd.Verb = privacy.VerbRectify
	case o.AtOnce:
		return cmd, privacy.Fail(privacy.Syntax, "open it, and run it by its number", "only erasures and rectifications run at once")
	}
	if cmd.Verb != privacy.VerbOpen {
		cmd.Request.What = 0 // the verb says it
	}
	return cmd, o.whole(what)
}

// whole refuses what says too little or too much.
func (o opening) whole(what policy.RequestType) error {
	purpose := what == policy.Restriction || what == policy.Objection
	rectifies := len(o.Changes) > 0 || o.Table != "" || len(o.Row) > 0
	switch {
	case o.Subject == "" || len(o.Key) == 0 || slices.Contains(o.Key, ""):
		return privacy.Fail(privacy.Syntax, "a kind of subject of the policy, and its key", "it is not said whom it is about")
	case o.By != "" && len(o.Key) != 1:
		return privacy.Fail(privacy.Syntax, "", "a column has one value")
	case o.Purpose != "" && !purpose:
		return privacy.Fail(privacy.Syntax, "", "a purpose is for restrictions and objections")
	case o.Purpose == "" && what == policy.Objection:
		return privacy.Fail(privacy.Syntax, "an objection is to a purpose", "the purpose is missing")
	case rectifies && what != policy.Rectification:
		return privacy.Fail(privacy.Syntax, "", "changes are for rectifications")
	case len(o.Changes) == 0 && what == policy.Rectification:
		return privacy.Fail(privacy.Syntax, "name columns and their new values", "it is not said what is to be changed")
	case (o.Table == "") != (len(o.Row) == 0):
		return privacy.Fail(privacy.Syntax, "", "a table and the key of its row go together")
	case o.Evidence != "" && o.Identity == "":
		return privacy.Fail(privacy.Syntax, "", "evidence is of a check of the identity")
	case strings.TrimSpace(o.Reason) == "" && (purpose || o.AtOnce):
		return privacy.Fail(privacy.Syntax, "", "a reason is missing")
	}
	return nil
}

func requestTypes() (names []string) {
	for _, t := range policy.RequestTypes() {
		names = append(names, t.String())
	}
	return names
}
