package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/report"
)

// signOffExtension is added to a review's name for its sign-off.
const signOffExtension = ".signoff"

// signOffCall is a review to be signed off.
type signOffCall struct{ reviewer, file, decision, note, key string }

// run signs a review off. The file is read once, and what was read is what is
// signed.
func (s *signOffCall) run(cfg *config.Config, now time.Time, stdout io.Writer) error {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return err
	}
	review, err := report.ParseReview(text)
	if err != nil {
		return fmt.Errorf("%s: %w", s.file, err)
	}
	key, err := s.signer(cfg)
	if err != nil {
		return err
	}
	off := report.SignOff{Reviewer: s.reviewer, Decision: s.decision, Note: s.note, By: operator(), At: now, Digest: report.Digest(text)}
	var heads []string
	for _, e := range review.Evidence {
		heads = append(heads, fmt.Sprintf("%d:%s", e.Records, e.Chain))
	}
	off.Heads = strings.Join(heads, " ")
	if off.Before, err = s.before(); err != nil {
		return err
	}
	signed, err := off.Sign(key)
	if err != nil {
		return err
	}
	if err := writeNew(s.file+signOffExtension, signed, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %s by %s\nSHA-256 of the review:   %s\nSHA-256 of the sign-off: %s\n",
		s.file+signOffExtension, s.decision, s.reviewer, off.Digest, report.Digest(signed))
	if err == nil && key == nil {
		_, err = fmt.Fprintln(stdout, "note: it is not signed, for want of a key: keep the second SHA-256 where nobody who can write here can change it")
	}
	return err
}

// before gives the SHA-256 of the sign-off before, "" where this is the first
// of its folder. They follow each other in the order of their names.
func (s *signOffCall) before() (string, error) {
	kept, err := signOffs(filepath.Dir(s.file))
	if err != nil || len(kept) == 0 {
		return "", err
	}
	last := kept[len(kept)-1]
	if filepath.Join(filepath.Dir(s.file), filepath.Base(s.file)+signOffExtension) <= last {
		return "", fmt.Errorf("%s is already signed off, and this review is not behind it: make a new one", strings.TrimSuffix(filepath.Base(last), signOffExtension))
	}
	text, err := os.ReadFile(last)
	return report.Digest(text), err
}

// signer gives the key; nil where the log has none.
func (s *signOffCall) signer(cfg *config.Config) (*audit.Key, error) {
	path := s.key
	if path == "" && cfg != nil {
		path = cfg.Audit.Key
	}
	if path == "" {
		return nil, nil
	}
	key, err := readAuditKey(path)
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// signOffs gives the sign-offs in a folder, oldest first, as their names begin
// with their reviews' times.
func signOffs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json"+signOffExtension) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(paths)
	return paths, nil
}

// keptReview is a review that was signed off.
type keptReview struct {
	path   string // of the review
	review *report.Review
	off    report.SignOff
	by     *audit.PublicKey // that signed; nil when no keys were given
	digest string           // of the sign-off
}

// readSignedOff reads a review and its sign-off, and checks that one is the
// other's.
func readSignedOff(path string, keys []audit.PublicKey) (k keptReview, err error) {
	k.path = strings.TrimSuffix(path, signOffExtension)
	text, err := os.ReadFile(path)
	if err != nil {
		return k, err
	}
	k.digest = report.Digest(text)
	if k.off, k.by, err = report.ParseSignOff(text, keys); err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	review, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, fmt.Errorf("%s was signed off and is missing", k.path)
	}
	if err != nil {
		return k, err
	}
	if report.Digest(review) != k.off.Digest {
		return k, fmt.Errorf("%s is not as it was signed off", k.path)
	}
	k.review, err = report.ParseReview(review)
	return k, err
}

// lastSignedOff gives the last review that was signed off in a folder; none
// where there is none. One that was changed is an error: what is compared with
// it would be worth nothing.
func lastSignedOff(dir string, keys []audit.PublicKey) (*report.Before, *report.Review, error) {
	paths, err := signOffs(dir)
	if err != nil || len(paths) == 0 {
		return nil, nil, err
	}
	k, err := readSignedOff(paths[len(paths)-1], keys)
	if err != nil {
		return nil, nil, err
	}
	return &report.Before{File: filepath.Base(k.path), Made: k.review.Made, Reviewer: k.off.Reviewer, Decision: k.off.Decision, Digest: k.off.Digest}, k.review, nil
}

// checkSignOffs checks all sign-offs in a folder, and that none between two is
// missing.
func checkSignOffs(dir string, keys []audit.PublicKey, stdout io.Writer) error {
	paths, err := signOffs(dir)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no review in %s was signed off", dir)
	}
	before := "none"
	for _, path := range paths {
		k, err := readSignedOff(path, keys)
		if err != nil {
			return fmt.Errorf("NOT GOOD: %w", err)
		}
		if k.off.Before != before {
			return fmt.Errorf("NOT GOOD: %s follows a sign-off that is not there, or not as it was", path)
		}
		before = k.digest
		signed := "signature not looked at, for want of a public key"
		if k.by != nil {
			signed = "signed by " + k.by.String()
		}
		fmt.Fprintf(stdout, "good: %s, %s by %s on %s; %s\n", filepath.Base(k.path), k.off.Decision, k.off.Reviewer, k.off.At.Format(time.RFC3339), signed)
	}
	_, err = fmt.Fprintf(stdout, "SHA-256 of the last sign-off: %s\n", before)
	return err
}
