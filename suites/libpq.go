package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// libpq runs the program that tests libpq's pipelines. Where PostgreSQL itself
// compares what libpq says that it sent and got, so do we.
func libpq(ctx context.Context, st *stage) (results, error) {
	p, err := st.postgres(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := p.copySource(st, "src/test/modules/libpq_pipeline")
	if err != nil {
		return nil, err
	}
	gcc := st.server.Command(ctx, dir, "gcc", "-w", "-I/usr/include/postgresql", "-I"+p.headers, "-o", "libpq_pipeline", "libpq_pipeline.c",
		"-lpq", "-L"+p.lib, "-lpgcommon", "-lpgport")
	if _, err := st.output(gcc, "gcc.log", false); err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "libpq_pipeline")
	names, err := st.output(st.server.Command(ctx, dir, program, "tests"), "tests", false)
	if err != nil {
		return nil, err
	}
	got := results{}
	for _, name := range strings.Fields(names) {
		cmd := st.server.Command(ctx, dir, program, "-r", "700", "-t", filepath.Join(dir, name+".trace"), name)
		cmd.Env = append(cmd.Env, st.env()...)
		if _, err := st.output(cmd, name+".log", true); err != nil {
			return nil, err
		}
		o := outcome{status: "ok"}
		if !cmd.ProcessState.Success() {
			o.status = "failed"
		}
		if o.output, err = st.trace(dir, name); err != nil {
			return nil, err
		}
		got[name] = o
	}
	return got, nil
}

// trace gives the messages of a test whose messages do not depend on how fast
// things go: one that PostgreSQL has an expectation for.
func (st *stage) trace(dir, name string) (string, error) {
	_, err := os.Stat(filepath.Join(dir, "traces", name+".trace"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, name+".trace"))
	if err != nil {
		return "", err
	}
	return string(text), os.WriteFile(filepath.Join(st.keep, name+".trace"), text, 0o644)
}
