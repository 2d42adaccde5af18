package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	binary := flag.String("pgveil", "bin/pgveil", "")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &stand{binary: *binary}
	err := s.build(ctx, 0, func(f string, a ...any) { fmt.Printf(f+"\n", a...) })
	fmt.Println(err)
	if err == nil {
		fmt.Println(s.proxy.address, s.proxy.admin, s.dir)
		<-ctx.Done()
	}
	fmt.Println(s.close())
}
