package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy"
)

// methods are the words of auth.rules. config has checked them.
var methods = map[string]proxy.Method{
	"scram": proxy.SCRAM, "passthrough": proxy.Passthrough, "trust": proxy.Trust, "cert": proxy.Cert, "reject": proxy.Reject,
	"oidc": proxy.OIDC, "oauth": proxy.OAuth,
}

// rules gives who may come from where and how; nil when the configuration has
// one method for everybody.
func rules(cfg *config.Config) ([]proxy.Rule, error) {
	if cfg.Auth.Rules == nil {
		return nil, nil
	}
	demand := ""
	if cfg.TLS != nil {
		demand = cfg.TLS.Clients
	}
	all := []proxy.Rule{}
	for i, r := range cfg.Auth.Rules {
		places, err := r.Places()
		if err != nil {
			return nil, fmt.Errorf("auth.rules[%d].from: %w", i, err)
		}
		if r.Certs == "" {
			r.Certs = demand
		}
		about := fmt.Sprintf("auth.rules[%d]", i)
		if r.Because != "" {
			about += ": " + r.Because
		}
		all = append(all, proxy.Rule{
			Anywhere: places.All, Unix: places.Unix, Networks: places.Networks,
			Users: names(r.Users), Databases: names(r.Databases),
			ClearToo: r.TLS == "any", Certs: certs(r.Certs), Method: methods[r.Method], About: about,
		})
	}
	return all, nil
}

func names(words config.Words) proxy.Names {
	return proxy.Names{All: slices.Contains(words, config.All), Of: words}
}

// reloadRules reads the configuration again and puts its rules in force, and
// whose certificates are. What else it says stays as it was at the start.
func (p *process) reloadRules() {
	cfg, err := config.Load(p.cfg.File)
	if err == nil && (cfg.Auth.Rules == nil) != (p.cfg.Auth.Rules == nil) {
		err = errors.New("auth.rules cannot come or go while pgveil runs")
	}
	var now []proxy.Rule
	var owners []proxy.CertUser
	if err == nil {
		now, err = rules(cfg)
	}
	if err == nil {
		owners, err = certUsers(cfg.TLS)
	}
	if err != nil {
		p.log.Error("rules not reloaded: those in force stay in force", "err", err)
		return
	}
	p.server.SetRules(now, owners)
	p.log.Info("rules in force", "rules", len(now))
}
