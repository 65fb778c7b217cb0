package youproxytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func Example() {
	server := youproxytest.NewServer(
		youproxytest.WithBalance(youproxy.MustMoney("25 USD")),
		youproxytest.WithPromoCode("WELCOME", 10),
	)
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}

	order, err := client.CreateOrder(context.Background(), youproxy.IPv4OrderRequest{
		Country: "DEU", Quantity: 5, RentPeriodDays: 30, Goal: "price monitoring",
		AuthType: youproxy.AuthTypeLogin, PromoCode: "WELCOME",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(order.Number, "leaves", order.Balance)
	fmt.Println("it cost", server.Orders()[0].Price)
	fmt.Println("proxies:", len(server.IPAddresses()))
	// Output:
	// NUMBER-112233 leaves 19.1 USD
	// it cost 5.9 USD
	// proxies: 5
}

func ExampleServer_Inject() {
	server := youproxytest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}

	server.Inject("POST /order", youproxytest.DropAfterCommit)
	_, err = client.CreateOrder(context.Background(), youproxy.ISPOrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	})
	fmt.Println("outcome:", youproxy.OutcomeOf(err))
	fmt.Println("orders executed:", len(server.Orders()))
	// Output:
	// outcome: unknown
	// orders executed: 1
}

func ExampleFault_AfterCommit() {
	server := youproxytest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}
	order := youproxy.ISPOrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}

	for _, fault := range []youproxytest.Fault{youproxytest.BadGateway, youproxytest.BadGateway.AfterCommit()} {
		server.Inject("POST /order", fault)
		_, err = client.CreateOrder(context.Background(), order)
		fmt.Println(fault, "is", youproxy.OutcomeOf(err), "to the client; orders executed:", len(server.Orders()))
	}
	// Output:
	// BadGateway is unknown to the client; orders executed: 0
	// BadGatewayAfterCommit is unknown to the client; orders executed: 1
}

func ExampleServer_Pending() {
	server := youproxytest.NewServer()
	defer server.Close()
	client, err := server.Client(youproxy.WithReadRetries(0))
	if err != nil {
		panic(err)
	}

	server.Inject("GET /balance", youproxytest.BadGateway)
	server.Refuse("POST /order", int(youproxy.ErrIncorrectGoal))
	_, err = client.Balance(context.Background())
	fmt.Println(youproxy.OutcomeOf(err))
	fmt.Println(server.Pending()) // in a test: require.Empty(t, server.Pending())
	// Output:
	// unknown
	// [POST /order: error 14]
}

func ExampleServer_Refuse() {
	server := youproxytest.NewServer()
	defer server.Close()
	client, err := server.Client(youproxy.WithReadRetries(0))
	if err != nil {
		panic(err)
	}

	server.Refuse("GET /balance", int(youproxy.ErrCallerNotAllowed))
	_, err = client.Balance(context.Background())
	fmt.Println(youproxy.OutcomeOf(err), errors.Is(err, youproxy.ErrCallerNotAllowed))
	left, err := client.Balance(context.Background())
	fmt.Println(left, err)
	// Output:
	// rejected true
	// 100 USD <nil>
}

// list asks a server for its list of proxies, as a client in any language does.
func list(server *youproxytest.Server) string {
	request, err := http.NewRequest(http.MethodGet, "http://youproxy.test/client/api/v1/"+server.APIKey()+"/ipAddress", nil)
	if err != nil {
		panic(err)
	}
	response, err := server.Transport().RoundTrip(request)
	if err != nil {
		panic(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	return string(body)
}

func ExampleWithClock() {
	// The clock of the server runs along with that of the client, and is moved by
	// what is added to it.
	var later atomic.Int64
	server := youproxytest.NewServer(
		youproxytest.WithClock(func() time.Time { return time.Now().Add(time.Duration(later.Load())) }),
		youproxytest.WithProvisioningDelay(10*time.Minute),
	)
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}
	server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 3})

	for _, wait := range []time.Duration{0, 10 * time.Minute, 30 * 24 * time.Hour} {
		later.Add(int64(wait))
		proxies, err := client.ListProxies(context.Background(), youproxy.ProxyQuery{})
		fmt.Println("after another", wait, len(proxies), err)
	}
	// Output:
	// after another 0s 0 <nil>
	// after another 10m0s 3 <nil>
	// after another 720h0m0s 0 <nil>
}

func ExampleWithCache() {
	server := youproxytest.NewServer(youproxytest.WithCache(youproxytest.Cache{MaxAge: time.Hour}))
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}

	for _, balance := range []string{"25 USD", "10 USD"} {
		server.SetBalance(youproxy.MustMoney(balance))
		told, err := client.Balance(context.Background())
		fmt.Println(server.Balance(), "is told as", told, err)
	}
	server.SetCache(youproxytest.Cache{})
	told, err := client.Balance(context.Background())
	fmt.Println(server.Balance(), "is told as", told, err)
	// Output:
	// 25 USD is told as 25 USD <nil>
	// 10 USD is told as 25 USD <nil>
	// 10 USD is told as 10 USD <nil>
}

func ExampleServer_AddOrder() {
	server := youproxytest.NewServer()
	defer server.Close()

	order := server.AddOrder(youproxytest.Order{
		ProxyType: youproxy.ProxyTypeIPv6, Country: "NLD", Quantity: 2, Protocol: youproxy.ProtocolSOCKS,
	})
	fmt.Println(order.Number, order.ID, order.RentPeriodDays, "days")
	for _, ip := range server.IPAddresses() {
		fmt.Println(ip.ID, ip.Host, ip.SOCKS5Port, ip.Login)
	}
	fmt.Println("left:", server.Balance())
	// Output:
	// NUMBER-112233 1112223334283d122 30 days
	// 1111111111111111111 198.18.0.1 10001 login1
	// 1111111111111111112 198.18.0.1 10002 login1
	// left: 100 USD
}

func ExampleWithListShape() {
	server := youproxytest.NewServer(
		// A clock that stands still is enough where no client buys anything.
		youproxytest.WithClock(func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }),
		youproxytest.WithListShape(youproxytest.ListShape{
			Flat: true, Orders: true, ShortNames: true, NumericIDs: true, PortInIP: true, Sparse: true,
		}),
	)
	defer server.Close()
	server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "NLD", Quantity: 1})

	fmt.Println(strings.ReplaceAll(list(server), `, "`, ",\n\""))
	// Output:
	// {"success": true,
	// "ipAddresses": [{"orderId": "1112223334283d122",
	// "orderNumber": "NUMBER-112233",
	// "country": "NLD",
	// "dateStart": "2026-03-01T12:00:00.000+00:00",
	// "dateEnd": "2026-03-31T12:00:00.000+00:00",
	// "ipAddresses": [{"id": 1111111111111111111,
	// "ip": "198.18.0.1:10001",
	// "proxyType": "IPv6",
	// "protocol": "HTTP",
	// "authInfo": {"login": "login1",
	// "password": "Pw9e3779b1"},
	// "extendInfo": {"autoExtend": false}}]}],
	// "error": null}
}

// A reply that was seen, with fields in place of its values, makes the server send
// others like it.
func ExampleListShape_template() {
	server := youproxytest.NewServer(
		youproxytest.WithClock(func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }),
		youproxytest.WithListShape(youproxytest.ListShape{
			Sparse: true, DateLayout: time.DateTime,
			Template: `{"success": true, "result": {"{group}": [{"id": "{orderId}", "until": "{dateEnd}",
				"proxies": {"{ipAddressId}": {"address": "{ipAddressIp}:{port}", "user": "{login}"}}}]}}`,
		}),
	)
	defer server.Close()
	server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "NLD", Quantity: 2})

	fmt.Println(strings.ReplaceAll(list(server), `, "`, ",\n\""))
	// Output:
	// {"success": true,
	// "result": {"isp": [{"id": "1112223334283d122",
	// "until": "2026-03-31 12:00:00",
	// "proxies": {"1111111111111111111": {"address": "198.18.0.1:59100",
	// "user": "login1"},
	// "1111111111111111112": {"address": "198.18.0.2:59100",
	// "user": "login1"}}}]}}
}

func ExampleServer_Requests() {
	server := youproxytest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}

	server.Inject("GET /balance", youproxytest.DropBeforeCommit)
	if _, err := client.Balance(context.Background()); err != nil {
		panic(err)
	}
	for _, r := range server.Requests() {
		fmt.Println(r.Op, r.Fault)
	}
	// Output:
	// GET /balance DropBeforeCommit
	// GET /balance none
}
