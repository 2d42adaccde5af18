package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

func runUserList(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("user list", "",
		"Lists the users of the policy, their roles, and who has a second factor; then\nthose who have one and are no longer in the policy.",
		"pgveil user list --config /etc/pgveil/pgveil.yaml")
	var path string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	r, err := openRegistry(path)
	if err != nil {
		return c.failed(stderr, err)
	}
	if err := errors.Join(r.list(ctx, stdout), r.process.close()); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func (r *registry) list(ctx context.Context, w io.Writer) error {
	users, err := r.users(ctx)
	if err != nil {
		return err
	}
	factors, err := r.store.Factors(ctx)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tROLES\tSECOND FACTOR")
	for _, u := range users {
		about := "none"
		if i := slices.IndexFunc(factors, func(f state.Factor) bool { return f.User == u.Name }); i >= 0 {
			about = standing(factors[i])
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", u.Name, cmp.Or(strings.Join(u.Roles, ", "), "-"), about)
	}
	for _, f := range factors {
		if !slices.ContainsFunc(users, func(u policy.User) bool { return u.Name == f.User }) {
			fmt.Fprintf(t, "%s\tnot in the policy\t%s\n", f.User, standing(f))
		}
	}
	return t.Flush()
}

// standing says how it stands with a second factor.
func standing(f state.Factor) string {
	said := "since " + f.Created.UTC().Format(time.DateOnly)
	if !f.Confirmed {
		said = "waits for its first code " + said
	}
	if f.Blocked > 0 {
		said += fmt.Sprintf(", blocked for %s after %d wrong codes", f.Blocked.Round(time.Second), f.Failures)
	}
	return said + fmt.Sprintf(", %d recovery codes", f.Recovery)
}
