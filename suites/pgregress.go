package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// regress runs the core regression tests, which load a library of their own.
func regress(ctx context.Context, st *stage) (results, error) {
	p, err := st.postgres(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := st.copySource(p, "src/test/regress")
	if err != nil {
		return nil, err
	}
	if err := p.compile(ctx, st, dir, "regress"); err != nil {
		return nil, err
	}
	for _, library := range []string{"autoinc.so", "refint.so"} {
		if err := os.Symlink(filepath.Join(p.lib, library), filepath.Join(dir, library)); err != nil {
			return nil, err
		}
	}
	return p.regress(ctx, st, dir, "regress/pg_regress", "--schedule=parallel_schedule", "--max-connections=10", "--dlpath="+dir)
}

func isolation(ctx context.Context, st *stage) (results, error) {
	p, err := st.postgres(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := st.copySource(p, "src/test/isolation")
	if err != nil {
		return nil, err
	}
	return p.regress(ctx, st, dir, "isolation/pg_isolation_regress", "--schedule=isolation_schedule")
}

// postgres is PostgreSQL as installed, for servers and for extensions of them,
// and its source.
type postgres struct{ bin, lib, headers, source string }

func (st *stage) postgres(ctx context.Context) (*postgres, error) {
	bin, err := pgserver.Find()
	if err != nil {
		return nil, err
	}
	p := &postgres{bin: bin, lib: filepath.Join(bin, "../lib")}
	major := filepath.Base(filepath.Dir(bin))
	p.headers = filepath.Join("/usr/include/postgresql", major, "server")
	if _, err := os.Stat(filepath.Join(p.headers, "postgres.h")); err != nil {
		return nil, fmt.Errorf("postgresql-server-dev-%s is needed: %w", major, err)
	}
	p.source, err = st.source(ctx, "postgresql-"+major)
	return p, err
}

// copySource copies a folder of the source to where the server's user, who
// runs the tests, and the server itself may read and write.
func (st *stage) copySource(p *postgres, folder string) (string, error) {
	dir := filepath.Join(st.dir, filepath.Base(folder))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(p.source, folder))); err != nil {
		return "", fmt.Errorf("copying the tests: %w", err)
	}
	return dir, st.server.Own(dir)
}

// compile makes name.so of name.c in the folder.
func (p *postgres) compile(ctx context.Context, st *stage, dir, name string) error {
	gcc := st.server.Command(ctx, dir, "gcc", "-shared", "-fPIC", "-O1", "-w", "-I"+p.headers, "-o", name+".so", name+".c")
	_, err := st.output(gcc, "gcc.log", false)
	return err
}

// regress runs pg_regress or a kin of it in the folder of its tests.
func (p *postgres) regress(ctx context.Context, st *stage, dir, program string, args ...string) (results, error) {
	args = append([]string{
		"--use-existing", "--dbname=" + st.suite.database, "--inputdir=" + dir, "--outputdir=" + dir, "--bindir=" + p.bin,
	}, args...)
	cmd := st.server.Command(ctx, dir, filepath.Join(p.lib, "pgxs/src/test", program), args...)
	cmd.Env = append(cmd.Env, st.env()...)
	log, err := st.output(cmd, "log", true)
	if err != nil {
		return nil, err
	}
	got := parseRegress(log)
	for name, o := range got {
		text, err := os.ReadFile(filepath.Join(dir, "results", name+".out"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(st.keep, name+".out"), text, 0o644); err != nil {
			return nil, err
		}
		got[name] = outcome{o.status, string(text)}
	}
	return got, nil
}

// How pg_regress tells of a test: "     boolean    ... ok    118 ms" up to
// PostgreSQL 15, "not ok 7     + boolean    118 ms" from 16 on.
var (
	before16 = regexp.MustCompile(`^(?:test)? +(\S+) +\.\.\. (.*?) +\d+ ms$`)
	from16   = regexp.MustCompile(`^(ok|not ok) \d+ +[-+] (\S+) +\d+ ms`)
)

// parseRegress reads what pg_regress prints.
func parseRegress(log string) results {
	r := results{}
	for line := range strings.Lines(log) {
		line = strings.TrimRight(line, "\r\n")
		if m := before16.FindStringSubmatch(line); m != nil {
			r[m[1]] = outcome{status: m[2]}
		} else if m := from16.FindStringSubmatch(line); m != nil {
			r[m[2]] = outcome{status: m[1]}
		}
	}
	return r
}
