// Package youproxy is a client of the API of Youproxy, which sells IPv4, IPv6, mobile and
// ISP proxies. It is unofficial, and has never been run against the live service.
//
// # An order
//
//	journal, err := filejournal.Open("purchases.jsonl")
//	// ...
//	client, err := youproxy.NewFromEnv(youproxy.WithJournal(journal)) // YOUPROXY_API_KEY
//	// ...
//	request := youproxy.IPv4OrderRequest{
//		Country: "USA", Quantity: 5, RentPeriodDays: 30,
//		Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
//	}
//	purchase, err := client.Buy(ctx, request, youproxy.MustMoney("10 USD"), youproxy.IdempotencyKey(job))
//	// ...
//	proxies, err := client.WaitForProxies(ctx, purchase)
//
// [Client.Buy] asks for a quote, and stops if the order would cost more than the limit. It
// records the attempt in a [Journal], sends the order once, and looks at the account if the
// reply is lost. With the same [IdempotencyKey] a purchase is made once, so it is safe to
// run this again after any error or crash. By default the journal is in memory;
// [WithJournal] sets one that outlasts the process, in a file or a database.
//
// [Client.ProxyTypes], [Client.Countries], [Client.RentPeriods] and [Client.MobileOperators]
// return what is on sale. [Client.QuoteOrder] returns a price. [Client.CreateOrder] is the
// plain call, without the checks of Buy.
//
// # Renewals
//
// [Client.Renew] extends proxies as Buy orders them. [Client.PlanRenewals] plans the
// renewal of all that ends soon, and [Client.RenewAll] carries the plan out. [Client.Extend]
// is the plain call.
//
// # Proxies
//
// The proxies of the account are in its list:
//
//	for proxy, err := range client.Proxies(ctx, youproxy.ProxyQuery{}) {
//		if err != nil {
//			return err // the list is not complete
//		}
//		fmt.Println(proxy)
//	}
//
// [Proxy.URL] and [Proxy.Transport] send traffic through one. Package proxypool sends
// traffic through many: [ProxyURLs] returns the list that it takes, and
// [Client.FollowProxies] keeps its list up to date. [Proxy.Format] and [WriteProxies] write
// proxies for other programs. A printed, logged or marshaled [Proxy] shows no password.
//
// # Errors
//
// A request that breaks a rule is a [*ValidationError], which names every broken rule. A
// refusal by the service is an [*APIError], even if its HTTP status is 200. Match its code
// with [errors.Is]:
//
//	errors.Is(err, youproxy.ErrInsufficientFunds)
//
// A call without a readable answer is a [*CallError]. A purchase that was recorded and then
// not executed, or not known to be, is a [*SpendError], and one that an earlier purchase
// stopped is a [*PendingError]. Of each error, [OutcomeOf] reports what is known of the money: nothing
// was sent, the service rejected it, it was done, or the outcome is unknown. After an unknown
// outcome, call Buy with the same key, or let [Client.Recover] look at the account.
//
// # Money
//
// Amounts are [Money]: exact decimals with a currency, never floats. [ParseMoney] reads
// one from a string such as "10 USD".
//
// # Spending
//
// Calls that may spend are sent at most once. They are Buy, Renew, RenewAll, CreateOrder,
// Extend, and a [Client.Call] with any method but GET. Neither this package nor a transport
// below it repeats them, and redirects are not followed. Calls that spend nothing are
// repeated after failures that may pass.
//
// # The API key
//
// The API expects its key in the path of every URL. Only the innermost round tripper puts
// it there. Errors, logs, traces, middleware and a printed [Client] do not show it.
//
// # Testing
//
// Package youproxytest is a fake Youproxy in the process of a test, with faults. A stub of
// an interface of your own works as well, and so does a stub transport in [WithHTTPClient].
package youproxy
