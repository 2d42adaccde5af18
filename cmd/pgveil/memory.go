package main

import (
	"errors"
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// boundMemory makes the garbage collector work harder as the process comes near
// what its control group allows, in place of being killed there. GOMEMLIMIT, the
// runtime's own variable, takes precedence.
//
// A tenth is left to what Go does not count: the SQL parser, which is C, and
// what the system keeps for sockets and mapped files.
func boundMemory(log *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(0.9))
	switch {
	case err == nil:
		log.Debug("memory", "limit", limit)
	case errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
	default:
		log.Warn("the memory that the control group allows is not known: set GOMEMLIMIT", "err", err)
	}
}
