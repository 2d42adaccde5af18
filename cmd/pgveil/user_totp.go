package main

import (
	"bufio"
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// registry is the policy's users and what the database holds of them.
type registry struct {
	process *process // not serving
	store   *state.Store
}

func openRegistry(path string) (*registry, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	key, err := readKey(cfg.Key)
	if err != nil {
		return nil, err
	}
	p := &process{cfg: cfg}
	if p.own, err = newDialer(cfg); err != nil {
		return nil, err
	}
	p.catalog = newConnection(p.own.open)
	return &registry{p, &state.Store{Use: p.catalog.use, Key: derive(key, "factors")}}, nil
}

// users gives those that the policy has.
func (r *registry) users(ctx context.Context) ([]policy.User, error) {
	engine, err := r.process.loadEngine(ctx)
	if err != nil {
		return nil, err
	}
	return engine.Policy.Users(), nil
}

// enrolling is one call of "pgveil user totp".
type enrolling struct {
	*registry
	user, issuer, algorithm string
	digits                  int
	text, reset, remove     bool
}

func runUserTOTP(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("user totp", "NAME",
		`Makes a secret for a user's authenticator and shows it as a QR code, with codes
for the day when the authenticator is lost. Neither can be shown again: show
them to the user, and to nobody else. On a terminal it asks for the first code;
without one, the user gives it with PRIVACY MFA. The second factor counts from
its first right code on. The user must be in the policy.`,
		"pgveil user totp alice --issuer 'Example CRM' --config /etc/pgveil/pgveil.yaml",
		"pgveil user totp alice --reset     a lost device: what it shows is good no more",
		"pgveil user totp alice --remove")
	e := enrolling{}
	var path string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&e.issuer, "issuer", "", "`name` that authenticators show beside the user's; else the database's")
	c.flags.IntVar(&e.digits, "digits", 6, "`length` of a code: 6 or 8")
	c.flags.StringVar(&e.algorithm, "algorithm", "SHA1", "`name`: SHA1, or SHA256, which not every authenticator knows")
	c.flags.BoolVar(&e.text, "text", false, "show the secret as text, not as a QR code")
	c.flags.BoolVar(&e.reset, "reset", false, "replace a second factor, or lift its lockout")
	c.flags.BoolVar(&e.remove, "remove", false, "take the second factor away")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	switch {
	case len(c.args) != 1:
		return c.misused(stderr, "give one name")
	case e.reset && e.remove:
		return c.misused(stderr, "--reset and --remove: give one of them")
	case strings.Contains(e.issuer, ":"):
		return c.misused(stderr, "--issuer must be without a colon")
	}
	var err error
	e.user = c.args[0]
	if e.registry, err = openRegistry(path); err != nil {
		return c.failed(stderr, err)
	}
	if err := errors.Join(e.run(ctx, stdout, stderr), e.process.close()); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func (e *enrolling) run(ctx context.Context, stdout, stderr io.Writer) error {
	if e.remove {
		return e.store.RemoveFactor(ctx, e.user)
	}
	users, err := e.users(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(users, func(u policy.User) bool { return u.Name == e.user }) {
		return &policy.UnknownLoginError{Login: e.user}
	}
	f := state.Factor{User: e.user, Algorithm: strings.ToUpper(e.algorithm), Digits: e.digits, Period: 30 * time.Second}
	made, err := e.store.Enrol(ctx, f, e.reset)
	if err != nil {
		return err
	}
	if err := e.show(stdout, made); err != nil {
		return err
	}
	if _, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err != nil {
		fmt.Fprintf(stderr, "It counts once %s has given a right code, with PRIVACY MFA.\n", e.user)
	} else if err := e.confirm(ctx, os.Stdin, stderr); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "Recovery codes, each good once, for when the authenticator is lost:")
	for _, code := range made.Recovery {
		fmt.Fprintln(stdout, " ", strings.Join([]string{code[:4], code[4:8], code[8:12], code[12:]}, "-"))
	}
	return nil
}

func (e *enrolling) show(w io.Writer, made *state.Enrolment) error {
	issuer := e.issuer
	if issuer == "" {
		issuer = e.process.cfg.Database
	}
	uri, err := made.URI(issuer)
	if err != nil {
		return err
	}
	if e.text {
		secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(made.Secret)
		fmt.Fprintf(w, "%s\nSecret: %s\n", uri, secret)
		return nil
	}
	picture, err := qrCode(uri)
	if err == nil {
		_, err = io.WriteString(w, picture)
	}
	return err
}

// confirm asks for a first right code, three times at most.
func (e *enrolling) confirm(ctx context.Context, in io.Reader, prompt io.Writer) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- strings.TrimSpace(s.Text())
		}
	}()
	for range 3 {
		fmt.Fprint(prompt, "The code that the authenticator shows now: ")
		var line string
		select {
		case line = <-lines:
		case <-ctx.Done():
			return ctx.Err()
		}
		asked, err := privacy.Command{Verb: privacy.VerbMFA, Parameter: true}.Bind(line)
		if err == nil {
			err = e.store.CheckFactor(ctx, e.user, asked.Code, time.Now())
		}
		var wrong *privacy.Error
		if err == nil || !errors.As(err, &wrong) {
			return err
		}
		fmt.Fprintln(prompt, err)
	}
	return errors.New("no right code was given: the second factor does not count; make another one")
}
