package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/proxy/auth"
)

// userVerbs are what "pgveil user" does.
func userVerbs() []verb {
	return []verb{
		{"verifier", "make a line of the users file from a password", runUserVerifier},
		{"totp", "give a user a second factor, or take it away", runUserTOTP},
		{"list", "list users, and who has a second factor", runUserList},
	}
}

func runUser(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, userUsage())
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, userUsage())
		return 0
	}
	for _, v := range userVerbs() {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "pgveil user: unknown verb %q\n%s", args[0], userUsage())
	return 2
}

func userUsage() string {
	var b strings.Builder
	b.WriteString("Usage: pgveil user <verb> [flags]\n\nMakes what logins need.\n\n")
	for _, v := range userVerbs() {
		fmt.Fprintf(&b, "  %-9s %s\n", v.name, v.about)
	}
	b.WriteString("\nExamples:\n  pgveil user verifier alice >> users.txt\n  pgveil user totp alice\n\n\"pgveil user <verb> --help\" lists the flags of a verb.\n")
	return b.String()
}

func runUserVerifier(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("user verifier", "NAME", `Prints a line for the file of auth.users. The password is asked for on the
terminal, twice, or is the first line of standard input. It cannot be had back
from the line; but who has the line can guess at it, so keep the file to
pgveil (mode 0600). With scram the server must have the same verifier:
ALTER ROLE alice PASSWORD 'SCRAM-SHA-256$…' gives it that of the line.`,
		"pgveil user verifier alice >> users.txt")
	iterations := c.flags.Int("iterations", 4096, "how much work each guess at the password shall be; `N`")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 1 {
		return c.misused(stderr, "give one name")
	}
	password, err := askPassword(ctx, os.Stdin, stderr)
	if err != nil {
		return c.failed(stderr, err)
	}
	line, err := auth.UserLine(c.args[0], password, *iterations)
	if err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintln(stdout, line)
	return 0
}

// askPassword reads a password, without showing it where a terminal would.
func askPassword(ctx context.Context, in *os.File, prompt io.Writer) (string, error) {
	state, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	lines := bufio.NewReader(in)
	if err != nil {
		return readPassword(lines) // no terminal
	}
	hidden := *state
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ECHONL
	if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETSF, &hidden); err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	var password string
	asked := make(chan error, 1)
	go func() {
		var err error
		password, err = askTwice(lines, prompt)
		asked <- err
	}()
	select {
	case err = <-asked:
	case <-ctx.Done(): // the terminal must show again what is typed
		err = ctx.Err()
	}
	if err = errors.Join(err, unix.IoctlSetTermios(int(in.Fd()), unix.TCSETSF, state)); err != nil {
		return "", err
	}
	return password, nil
}

func askTwice(lines *bufio.Reader, prompt io.Writer) (string, error) {
	fmt.Fprint(prompt, "Password: ")
	first, err := readPassword(lines)
	if err != nil {
		return "", err
	}
	fmt.Fprint(prompt, "Again: ")
	second, err := readPassword(lines)
	if err == nil && first != second {
		err = errors.New("the passwords are not the same")
	}
	return first, err
}

func readPassword(lines *bufio.Reader) (string, error) {
	line, err := lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errors.New("the password is too long")
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(bytes.TrimRight(line, "\r\n")), nil
}
