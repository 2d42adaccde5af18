package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

func measure(ctx context.Context, pool *pgxpool.Pool) error { return fmt.Errorf("not yet") }
