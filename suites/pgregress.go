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
	dir, err := p.copySource(st, "src/test/regress")
	if err != nil {
		return nil, err
	}
	if err := p.library(ctx, st, dir); err != nil {
		return nil, err
	}
	return p.regress(ctx, st, dir, "regress/pg_regress",
		"--use-existing", "--schedule=parallel_schedule", "--max-connections=10", "--dlpath="+dir)
}

func isolation(ctx context.Context, st *stage) (results, error) {
	p, err := st.postgres(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := p.copySource(st, "src/test/isolation")
	if err != nil {
		return nil, err
	}
	return p.regress(ctx, st, dir, "isolation/pg_isolation_regress", "--use-existing", "--schedule=isolation_schedule")
}

// contrib runs the tests of the extensions that come with PostgreSQL. Each
// begins with a database made anew, by pg_regress and through pgveil: it
// cannot be the one that pgveil governs.
func contrib(ctx context.Context, st *stage) (results, error) {
	p, err := st.postgres(ctx)
	if err != nil {
		return nil, err
	}
	core, err := p.copySource(st, "src/test/regress")
	if err != nil {
		return nil, err
	}
	if err := p.library(ctx, st, core); err != nil {
		return nil, err
	}
	makefiles, err := filepath.Glob(filepath.Join(p.source, "contrib/*/Makefile"))
	if err != nil {
		return nil, err
	}
	all := results{}
	for _, makefile := range makefiles {
		text, err := os.ReadFile(makefile)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(filepath.Dir(makefile))
		tests := installTests(string(text))
		if len(tests) == 0 || unfit.MatchString(name) {
			continue
		}
		dir, err := p.copySource(st, "contrib/"+name)
		if err != nil {
			return nil, err
		}
		args := append([]string{"--dbname=contrib_regression", "--dlpath=" + core}, tests...)
		got, err := p.regress(ctx, st, dir, "regress/pg_regress", args...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for test, o := range got {
			all[name+"/"+test] = o
		}
	}
	return all, nil
}

// unfit are the extensions whose tests need a language that is not installed,
// or connect back to the server at the default place for its socket.
var unfit = regexp.MustCompile(`_pl(perl|python)$|^dblink$|^postgres_fdw$`)

// installTests reads in a Makefile which tests an extension has for a server
// that runs already.
func installTests(makefile string) []string {
	makefile = strings.ReplaceAll(makefile, "\\\n", " ")
	if strings.Contains(makefile, "\nNO_INSTALLCHECK") {
		return nil
	}
	var tests []string
	for line := range strings.Lines(makefile) {
		if list, ok := strings.CutPrefix(line, "REGRESS = "); ok {
			tests = strings.Fields(list)
		}
	}
	return tests
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
	p.headers = filepath.Join(bin, "../../../../include/postgresql", major, "server")
	if _, err := os.Stat(filepath.Join(p.headers, "postgres.h")); err != nil {
		return nil, fmt.Errorf("postgresql-server-dev-%s is needed: %w", major, err)
	}
	p.source, err = st.source(ctx, "postgresql-"+major)
	return p, err
}

// copySource copies a folder of the source to where the server's user, who
// runs the tests, and the server itself may read and write.
func (p *postgres) copySource(st *stage, folder string) (string, error) {
	dir := filepath.Join(st.dir, filepath.Base(folder))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(p.source, folder))); err != nil {
		return "", fmt.Errorf("copying the tests: %w", err)
	}
	return dir, st.server.Own(dir)
}

// library makes the library of the core tests in their folder, and puts those
// beside it that they load from the same place.
func (p *postgres) library(ctx context.Context, st *stage, dir string) error {
	gcc := st.server.Command(ctx, dir, "gcc", "-shared", "-fPIC", "-w", "-I"+p.headers, "-o", "regress.so", "regress.c")
	if _, err := st.output(gcc, "gcc.log", false); err != nil {
		return err
	}
	for _, name := range []string{"autoinc.so", "refint.so"} {
		if err := os.Symlink(filepath.Join(p.lib, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// regress runs pg_regress or a kin of it in the folder of its tests.
func (p *postgres) regress(ctx context.Context, st *stage, dir, program string, args ...string) (results, error) {
	args = append([]string{"--dbname=" + st.suite.database, "--inputdir=" + dir, "--outputdir=" + dir, "--bindir=" + p.bin}, args...)
	cmd := st.server.Command(ctx, dir, filepath.Join(p.lib, "pgxs/src/test", program), args...)
	cmd.Env = append(cmd.Env, st.env()...)
	log, err := st.output(cmd, filepath.Base(dir)+".log", true)
	if err != nil {
		return nil, err
	}
	got := parseRegress(log)
	for name, o := range got {
		text, err := os.ReadFile(filepath.Join(dir, "results", name+".out"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(st.keep, filepath.Base(dir)+"."+name+".out"), text, 0o644); err != nil {
			return nil, err
		}
		got[name] = outcome{o.status, strings.ReplaceAll(string(text), st.dir, "DIR")}
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
