package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// officeVerbs are the verbs of "pgveil dsar" that give commands.
func officeVerbs() []verb {
	var all []verb
	for _, v := range slices.Concat(openingVerbs(), deciding(), holding()) {
		all = append(all, v.verb())
	}
	return all
}

func openingVerbs() []officeVerb {
	return []officeVerb{
		{
			name: "open", short: "write down what a data subject asks for", arguments: "WHAT KIND KEY",
			about: "Writes down that a data subject asks for something: " + strings.Join(requestTypes(), ", ") + ".\nA key of several columns is given as several values; one that is \"-\" is read from\nstandard input.",
			examples: []string{
				"pgveil dsar open erasure customer 42 --verified-by account --evidence 'login of 3 May' --channel mail",
				"pgveil dsar open access customer --where email=ada@example.com --received 2026-05-03",
				"pgveil dsar open objection customer 42 --purpose marketing --because 'letter of 3 May'",
				"pgveil dsar open rectification customer 42 --set email=new@example.com",
			},
			flags: func(c *command, o *officeCall) {
				o.cameFlags(c)
				o.changeFlags(c)
				c.flags.StringVar(&o.Purpose, "purpose", "", "of a restriction or objection; `name`")
			},
			command: func(o *officeCall, args []string) (privacy.Command, error) {
				if len(args) == 0 {
					return privacy.Command{}, errors.New("give what is asked for, a kind of subject and a key")
				}
				return o.opens(args[0], false, args[1:])
			},
		},
		{
			name: "erase", short: "open a request for erasure that runs as soon as it may", arguments: "KIND KEY",
			about:    "Opens a request for erasure, which runs as soon as it has what the policy asks for.\nWith --dry-run it says what an erasure would do, table by table, and does nothing.",
			examples: []string{"pgveil dsar erase customer 42 --dry-run", "pgveil dsar erase customer 42 --verified-by document --because 'letter of 3 May' --wait"},
			flags: func(c *command, o *officeCall) {
				o.cameFlags(c)
				o.waitFlag(c)
				c.flags.BoolVar(&o.dryRun, "dry-run", false, "change nothing")
			},
			command: eraseCommand,
		},
		{
			name: "rectify", short: "correct what is held on a data subject", arguments: "KIND KEY",
			about:    "Opens a request for rectification, which runs as soon as it has what the policy asks\nfor.",
			examples: []string{"pgveil dsar rectify customer 42 --set email=new@example.com --null phone --verified-by account --because 'letter'", "pgveil dsar rectify customer 42 --in crm.orders --row 17 --set note=new --verified-by account --because 'letter'"},
			flags:    func(c *command, o *officeCall) { o.cameFlags(c); o.changeFlags(c); o.waitFlag(c) },
			command: func(o *officeCall, args []string) (privacy.Command, error) {
				return o.opens(policy.Rectification.String(), true, args)
			},
		},
	}
}

func eraseCommand(o *officeCall, args []string) (privacy.Command, error) {
	if !o.dryRun {
		return o.opens(policy.Erasure.String(), true, args)
	}
	if o.wait || o.Reason+o.Identity+o.Evidence+o.Regime+o.Received+o.Channel != "" {
		return privacy.Command{}, errors.New("--dry-run changes nothing: it goes with a subject alone")
	}
	if err := o.subjectOf(args); err != nil {
		return privacy.Command{}, err
	}
	o.show = showRows
	return privacy.Command{Verb: privacy.VerbErase, Subject: o.Subject, Key: privacy.Key{Column: o.By, Values: o.Key}, DryRun: true}, nil
}

// deciding are the verbs about a request that is there.
func deciding() []officeVerb {
	about := func(verb privacy.Verb) func(*officeCall, []string) (privacy.Command, error) {
		return func(o *officeCall, args []string) (privacy.Command, error) { return o.numbered(verb, args) }
	}
	because := func(c *command, o *officeCall) { o.becauseFlag(c) }
	return []officeVerb{
		{
			name: "verify", short: "write down how the identity was checked", arguments: "NUMBER",
			about:    "Writes down how it was checked that the data subject asks.",
			examples: []string{"pgveil dsar verify 17 --verified-by document --evidence 'passport seen, 3 May'"},
			flags:    func(c *command, o *officeCall) { o.identityFlags(c) },
			command:  verifyCommand,
		},
		{
			name: "plan", short: "find out what answering a request would do", arguments: "NUMBER",
			about:    "Finds out what answering a request would do, and writes it down: that is what is\napproved. Approvals of another plan count no more.",
			examples: []string{"pgveil dsar plan 17"},
			flags:    func(c *command, o *officeCall) { o.show = showPlan },
			command:  about(privacy.VerbPlan),
		},
		{
			name: "approve", short: "agree to a plan, as a second person", arguments: "NUMBER",
			about:    "Agrees to what was planned. Who does must be known for certain, and be somebody else\nthan who opened the request: at the machine that takes --token-file. Without a token\nof one's own, PRIVACY APPROVE REQUEST does it over a login of one's own.",
			examples: []string{"pgveil dsar approve 17 --token-file ~/.pgveil-token", "pgveil dsar approve 17 --plan 0123456789ab --token-file ~/.pgveil-token"},
			flags: func(c *command, o *officeCall) {
				o.becauseFlag(c)
				c.flags.StringVar(&o.plan, "plan", "", "eight digits or more of the `hash` of the plan that is agreed to: not to another")
			},
			command: func(o *officeCall, args []string) (privacy.Command, error) {
				cmd, err := o.numbered(privacy.VerbApproveRequest, args)
				cmd.Request.Plan = o.plan
				return cmd, err
			},
		},
		{
			name: "deny", short: "refuse a request, with a reason", arguments: "NUMBER",
			about:    "Refuses a request. The codes are " + strings.Join(privacy.DenialCodes(), ",\n") + ".",
			examples: []string{"pgveil dsar deny 17 --code no_match --because 'nobody of that name'"},
			flags: func(c *command, o *officeCall) {
				o.becauseFlag(c)
				c.flags.StringVar(&o.code, "code", "", "why, in one `word`")
			},
			command: denyCommand,
		},
		{
			name: "cancel", short: "the data subject took a request back", arguments: "NUMBER",
			about: "Ends a request that the data subject took back.", examples: []string{"pgveil dsar cancel 17 --because 'phone call of 5 May'"},
			flags: because, command: about(privacy.VerbCancelRequest),
		},
		{
			name: "extend", short: "take the extension that the law allows", arguments: "NUMBER",
			about:    "Takes the extension that the law of the request's regime allows: once, and in time.\nThe data subject is to be told, and why.",
			examples: []string{"pgveil dsar extend 17 --because 'a thousand letters'"},
			flags:    because, command: about(privacy.VerbExtendRequest),
		},
		{
			name: "run", short: "let a request run, or go on", arguments: "NUMBER",
			about:    "Lets a request run that has what the policy asks for; a worker of serve or of\n\"pgveil worker\" does the work. Of one that failed, or waits for a decision, it goes on.",
			examples: []string{"pgveil dsar run 17 --wait", "pgveil dsar run 17 --despite 'the note names somebody else'"},
			flags: func(c *command, o *officeCall) {
				o.waitFlag(c)
				c.flags.StringVar(&o.despite, "despite", "", "why an erasure is done though something is left; `text`")
			},
			command: func(o *officeCall, args []string) (privacy.Command, error) {
				cmd, err := o.numbered(privacy.VerbRunRequest, args)
				cmd.Request.Despite = o.despite
				return cmd, err
			},
		},
	}
}

func verifyCommand(o *officeCall, args []string) (privacy.Command, error) {
	cmd, err := o.numbered(privacy.VerbVerify, args)
	level, ok := policy.IdentityNamed(o.Identity)
	if err == nil && !ok {
		err = errors.New("--verified-by: give one of " + strings.Join(policy.Identities(), ", "))
	}
	cmd.Request.Identity, cmd.Request.Evidence = level, o.Evidence
	return cmd, err
}

func denyCommand(o *officeCall, args []string) (privacy.Command, error) {
	cmd, err := o.numbered(privacy.VerbDenyRequest, args)
	if err == nil && !slices.Contains(privacy.DenialCodes(), o.code) {
		err = errors.New("--code: " + privacy.DidYouMean(o.code, privacy.DenialCodes()))
	}
	cmd.Request.Code = o.code
	return cmd, err
}

// holding are the verbs about what must not be erased.
func holding() []officeVerb {
	return []officeVerb{
		{
			name: "hold", short: "keep rows from being erased", arguments: "[KIND KEY]",
			about:    "Keeps the rows of a data subject, or those of a table, from being erased, whoever asks\nand however long ago they should have gone.",
			examples: []string{"pgveil dsar hold customer 42 --because 'case 7'", "pgveil dsar hold --table crm.invoices --until 2028-01-01 --because 'audit'"},
			flags: func(c *command, o *officeCall) {
				o.whereFlag(c)
				o.becauseFlag(c)
				c.flags.StringVar(&o.table, "table", "", "`schema.table`, in place of a subject")
				c.flags.StringVar(&o.until, "until", "", "a `date` or time; else until it is lifted")
				o.show = showRows
			},
			command: holdCommand,
		},
		{
			name: "lift", short: "end a hold", arguments: "NUMBER", about: "Ends a hold.",
			examples: []string{"pgveil dsar lift 3 --because settled"},
			flags:    func(c *command, o *officeCall) { o.becauseFlag(c); o.show = showRows },
			command: func(o *officeCall, args []string) (privacy.Command, error) {
				return o.numbered(privacy.VerbLiftHold, args)
			},
		},
	}
}

func holdCommand(o *officeCall, args []string) (privacy.Command, error) {
	cmd := privacy.Command{Verb: privacy.VerbHold, Because: o.Reason, Before: o.until, Request: privacy.Request{Table: o.table}}
	switch {
	case o.table != "" && (len(args) > 0 || o.where != ""):
		return cmd, errors.New("give a subject or --table, not both")
	case o.table == "":
		if err := o.subjectOf(args); err != nil {
			return cmd, err
		}
		if len(o.Key) == 0 {
			return cmd, errors.New("give a kind of subject of the policy, and its key")
		}
		cmd.Subject, cmd.Key = o.Subject, privacy.Key{Column: o.By, Values: o.Key}
	}
	return cmd, reasoned(cmd)
}
