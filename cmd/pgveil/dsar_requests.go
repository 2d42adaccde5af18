package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// officeCall is one call of a verb of "pgveil dsar" that gives a command.
type officeCall struct {
	desk
	opening
	where   string
	code    string
	despite string
	plan    string
	until   string
	table   string
	dryRun  bool
	wait    bool
	show    func(ctx context.Context, o *officeCall, cmd privacy.Command, rows [][]string, stdout io.Writer) error
}

// officeVerb is a verb of "pgveil dsar" that gives a command: thinly, for what it
// does is said by package requests.
type officeVerb struct {
	name, short      string
	arguments, about string
	examples         []string
	flags            func(c *command, o *officeCall)
	command          func(o *officeCall, args []string) (privacy.Command, error)
}

// verb is what the table of "pgveil dsar" has of it.
func (v officeVerb) verb() verb {
	return verb{v.name, v.short, func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		c := newCommand("dsar "+v.name, v.arguments, v.about, v.examples...)
		o := &officeCall{show: showRequest}
		o.desk.flags(c)
		if v.flags != nil {
			v.flags(c, o)
		}
		if done, code := c.parse(args, stdout, stderr); done {
			return code
		}
		cmd, err := v.command(o, c.args)
		if err == nil {
			err = cmd.Requested()
		}
		if err != nil {
			return c.misused(stderr, "%v", err)
		}
		return o.run(ctx, c, cmd, stdout, stderr)
	}}
}

// run gives the command, shows its answer, and waits where that was asked for.
func (o *officeCall) run(ctx context.Context, c *command, cmd privacy.Command, stdout, stderr io.Writer) int {
	rows, err := o.give(ctx, cmd, stderr)
	switch {
	case err != nil:
	case o.wait:
		err = o.await(ctx, numberOf(cmd, rows), stdout, stderr)
	default:
		err = o.show(ctx, o, cmd, rows, stdout)
	}
	if err = errors.Join(err, o.desk.close()); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func (o *officeCall) give(ctx context.Context, cmd privacy.Command, stderr io.Writer) ([][]string, error) {
	if err := o.desk.open(ctx, stderr); err != nil {
		return nil, err
	}
	if !cmd.Changes() {
		return o.look(ctx, cmd)
	}
	rows, err := o.change(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return rows, o.closeLog() // nobody else has to wait for what is shown
}

// subjectOf reads whom a call is about: a kind and a key, or a kind and --where.
func (o *officeCall) subjectOf(args []string) (err error) {
	if len(args) == 0 {
		return errors.New("give a kind of subject of the policy, and its key")
	}
	o.Subject = args[0]
	if o.Key, err = readKeyOf(args[1:], os.Stdin); err != nil || o.where == "" {
		return err
	}
	if len(o.Key) > 0 {
		return errors.New("give a key or --where, not both")
	}
	column, value, ok := strings.Cut(o.where, "=")
	if !ok {
		return errors.New("--where: give column=value")
	}
	o.By, o.Key = column, []string{value}
	return nil
}

func (o *officeCall) whereFlag(c *command) {
	c.flags.StringVar(&o.where, "where", "", "`column=value` in place of the key: one of the subject's find_by")
}

func (o *officeCall) becauseFlag(c *command) {
	c.flags.StringVar(&o.Reason, "because", "", "why; `text`")
}

func (o *officeCall) identityFlags(c *command) {
	c.flags.StringVar(&o.Identity, "verified-by", "", "`how` the identity was checked: "+strings.Join(policy.Identities(), ", "))
	c.flags.StringVar(&o.Evidence, "evidence", "", "of that; `text`")
}

// cameFlags are how a request came.
func (o *officeCall) cameFlags(c *command) {
	o.whereFlag(c)
	o.identityFlags(c)
	o.becauseFlag(c)
	c.flags.StringVar(&o.Regime, "regime", "", "whose times count; `name`, else the policy's")
	c.flags.StringVar(&o.Received, "received", "", "when it was; a `date` or time, else now")
	c.flags.StringVar(&o.Channel, "channel", "", "the way it came; `text`")
}

// changeFlags are what becomes of a row.
func (o *officeCall) changeFlags(c *command) {
	c.flags.Func("set", "`column=value` of a rectification; may be given again", func(s string) error {
		column, value, ok := strings.Cut(s, "=")
		if !ok || column == "" {
			return errors.New("give column=value")
		}
		o.Changes = append(o.Changes, privacy.Change{Column: column, Value: value})
		return nil
	})
	c.flags.Func("null", "`column` of a rectification that gets no value; may be given again", func(s string) error {
		o.Changes = append(o.Changes, privacy.Change{Column: s, Null: true})
		return nil
	})
	c.flags.StringVar(&o.Table, "in", "", "`schema.table` whose row it is, where not the subject's own")
	c.flags.Func("row", "`value` of that row's key; may be given again", func(s string) error {
		o.Row = append(o.Row, s)
		return nil
	})
}

func (o *officeCall) waitFlag(c *command) {
	c.flags.BoolVar(&o.wait, "wait", false, "show how far it is, and end when it does: with status 0 when it is completed")
}

// opens makes the command of a call that opens a request.
func (o *officeCall) opens(what string, atOnce bool, args []string) (privacy.Command, error) {
	if err := o.subjectOf(args); err != nil {
		return privacy.Command{}, err
	}
	o.What, o.AtOnce = what, atOnce
	return o.opening.command()
}

// numbered makes the command of a call about a request or hold by its number.
func (o *officeCall) numbered(verb privacy.Verb, args []string) (privacy.Command, error) {
	if len(args) != 1 || !isNumber(args[0]) {
		return privacy.Command{}, errors.New("give one number")
	}
	cmd := privacy.Command{Verb: verb, ID: args[0], Because: o.Reason}
	return cmd, reasoned(cmd)
}
