package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/erasures"
)

// runDsarCertificate runs "pgveil dsar certificate".
func runDsarCertificate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	verbs := []verb{
		{"verify", "check a certificate of erasure, by the public key alone", runCertificateVerify},
		{"show", "write a certificate for people to read", runCertificateShow},
	}
	if len(args) > 0 {
		for _, v := range verbs {
			if v.name == args[0] {
				return v.run(ctx, args[1:], stdout, stderr)
			}
		}
	}
	out, code := stderr, 2
	if len(args) > 0 && isHelp(args[0]) {
		out, code = stdout, 0
	}
	fmt.Fprint(out, "Usage: pgveil dsar certificate <verb> FILE [flags]\n\n")
	for _, v := range verbs {
		fmt.Fprintf(out, "  %-7s %s\n", v.name, v.about)
	}
	return code
}

func isHelp(word string) bool {
	return word == "help" || word == "-h" || word == "-help" || word == "--help"
}

func runCertificateVerify(_ context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar certificate verify", "FILE",
		`Checks a certificate of erasure by the public key of the access log's checkpoints,
without the log, the database or a configuration: that it is byte for byte what
was signed, and that each record of the access log that it names is in the log.
Where the key has changed since, give the one before as well. Exit status 0 means
that all of it is good.`,
		"pgveil dsar certificate verify request-17.json --key audit.key.pub")
	var keys []audit.PublicKey
	c.flags.Func("key", "public `key`, or a file with one; may be given again", func(s string) error {
		k, err := publicKey(s)
		keys = append(keys, k)
		return err
	})
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 1 || len(keys) == 0 {
		return c.misused(stderr, "give one file, and the public key with --key")
	}
	cert, err := readCertificate(c.args[0], keys)
	if err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintf(stdout, "good: request %d, %s:%s, was completed at %s; %d records of the access log prove it\n",
		cert.Request, cert.Kind, cert.Token, cert.Completed.Format("2006-01-02 15:04:05 MST"), len(cert.Records))
	return 0
}

func readCertificate(path string, keys []audit.PublicKey) (erasures.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return erasures.Certificate{}, err
	}
	cert, err := erasures.VerifyCertificate(text, append(keys[:len(keys):len(keys)], besideKeys(keys)...))
	if err != nil {
		return cert, fmt.Errorf("THE CERTIFICATE IS NOT GOOD\n  %w", err)
	}
	return cert, nil
}

func runCertificateShow(_ context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar certificate show", "FILE",
		"Writes a certificate of erasure for people to read, as Markdown or one HTML page.\nOnly with --key does it check it first.",
		"pgveil dsar certificate show request-17.json --key audit.key.pub --out request-17.html")
	var keys []audit.PublicKey
	c.flags.Func("key", "public `key`, or a file with one; may be given again", func(s string) error {
		k, err := publicKey(s)
		keys = append(keys, k)
		return err
	})
	var out reportOutput
	out.flags(c, "markdown", "html")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 1 {
		return c.misused(stderr, "give one file")
	}
	if misuse := out.misuse(); misuse != "" {
		return c.misused(stderr, "%s", misuse)
	}
	cert, err := shownCertificate(c.args[0], keys, stderr)
	if err == nil {
		forms := reportForms(nil, cert.Document())
		err = out.write(fmt.Sprintf("erasure-%d", cert.Request), forms, stdout, stderr)
	}
	if err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

// shownCertificate reads a certificate, and says where nobody has checked it.
func shownCertificate(path string, keys []audit.PublicKey, stderr io.Writer) (erasures.Certificate, error) {
	if len(keys) > 0 {
		return readCertificate(path, keys)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return erasures.Certificate{}, err
	}
	cert, err := erasures.ReadCertificate(text)
	if err == nil {
		_, err = fmt.Fprintln(stderr, "Nobody has checked this certificate: give the public key with --key.")
	}
	return cert, err
}
