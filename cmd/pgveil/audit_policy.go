package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/policy"
)

// policyFromConfig compiles the policy of a source, with what its flags leave
// open from the configuration of serve: the policy's folder, and the schema as
// it is in the database.
func policyFromConfig(ctx context.Context, source *policySource, cfg *config.Config) (*policy.Set, error) {
	if cfg != nil {
		source.policy = cmp.Or(source.policy, cfg.Policy)
	}
	if cfg == nil || source.schema != "" || source.dsn != "" {
		engine, err := source.engine(ctx)
		if err != nil {
			return nil, err
		}
		return engine.Policy, nil
	}
	p := &process{cfg: cfg}
	var err error
	if p.own, err = newDialer(cfg); err != nil {
		return nil, err
	}
	p.cfg.Policy, p.catalog = source.policy, newConnection(p.own.open)
	engine, err := p.loadEngine(ctx)
	if err = errors.Join(err, p.close()); err != nil {
		return nil, err
	}
	return engine.Policy, nil
}
