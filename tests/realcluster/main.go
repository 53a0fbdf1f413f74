// Command realcluster is etcd, kube-apiserver, kube-controller-manager and kube-scheduler in one executable: the first
// argument selects the component, the others are that component's own flags. The components share most of their code, so
// one executable is linked and stored once in place of four times.
//
// It exists for tests that need a real Kubernetes control plane and is never shipped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// exitOnEOF names the environment variable that ties the process to its parent: when it is "1" the process exits as
// soon as its standard input reaches end of file, which happens when the parent dies for whatever reason. A pipe is
// used in place of PR_SET_PDEATHSIG because the latter fires when the *thread* that started the process ends, and works
// on Linux only.
const exitOnEOF = "REALCLUSTER_EXIT_ON_STDIN_EOF"

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	component := os.Args[1]
	os.Args = append([]string{component}, os.Args[2:]...)

	if os.Getenv(exitOnEOF) == "1" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			fmt.Fprintln(os.Stderr, component+": the parent process is gone, exiting")
			os.Exit(1)
		}()
	}

	// Only the selected command is constructed: each one registers flags and feature gates in package-level registries.
	var command *cobra.Command
	switch component {
	case "etcd":
		if err := runEtcd(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "etcd:", err)
			os.Exit(1)
		}
		return
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		command = scheduler.NewSchedulerCommand()
	default:
		usage()
	}
	os.Exit(cli.Run(command))
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: realcluster etcd|kube-apiserver|kube-controller-manager|kube-scheduler [flags]")
	os.Exit(2)
}

// runEtcd serves a single-member etcd until SIGINT or SIGTERM. Clients need a certificate of the given authority, so
// that other users of the machine cannot write past the API server's authorization.
func runEtcd(args []string) error {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	dataDir := flags.String("data-dir", "", "directory of the database")
	clientURL := flags.String("listen-client-url", "", "https URL on which clients are served")
	certFile := flags.String("cert-file", "", "serving certificate (PEM)")
	keyFile := flags.String("key-file", "", "private key of the serving certificate (PEM)")
	caFile := flags.String("trusted-ca-file", "", "certificate authority of the clients (PEM)")
	noFsync := flags.Bool("unsafe-no-fsync", false, "do not fsync: much faster, and a crash of the machine may lose data")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dataDir == "" || *clientURL == "" || *certFile == "" || *keyFile == "" || *caFile == "" {
		return errors.New("--data-dir, --listen-client-url, --cert-file, --key-file and --trusted-ca-file are required")
	}
	client, err := url.Parse(*clientURL)
	if err != nil {
		return err
	}
	// A single member has no peers; port 0 keeps its mandatory peer listener from colliding with anything.
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}

	config := embed.NewConfig()
	config.Dir = *dataDir
	config.ListenClientUrls = []url.URL{*client}
	config.AdvertiseClientUrls = []url.URL{*client}
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.ClientTLSInfo = transport.TLSInfo{
		CertFile: *certFile, KeyFile: *keyFile, TrustedCAFile: *caFile, ClientCertAuth: true,
	}
	config.UnsafeNoFsync = *noFsync
	config.EnableGRPCGateway = false
	config.WatchProgressNotifyInterval = 5 * time.Second // as upstream's own cluster scripts set it
	config.LogLevel = "warn"
	config.LogOutputs = []string{"stderr"}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer server.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.Err():
		return err
	case <-server.Server.StopNotify():
		return errors.New("the server stopped by itself")
	}
}
