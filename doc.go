// Package youproxy is a client of the API of Youproxy, which sells IPv4, IPv6,
// mobile and ISP proxies. It is unofficial.
//
// # An order
//
//	client, err := youproxy.NewFromEnv() // YOUPROXY_API_KEY
//	if err != nil {
//		return err
//	}
//	request := youproxy.IPv4OrderRequest{
//		Country: "USA", Quantity: 5, RentPeriodDays: 30,
//		Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
//	}
//	purchase, err := client.Buy(ctx, request, youproxy.MustMoney("10 USD"), youproxy.IdempotencyKey(job))
//	if err != nil {
//		return err // it tells what became of the money
//	}
//	proxies, err := client.WaitForProxies(ctx, purchase)
//
// [Client.Buy] asks for the quote, stops where it is not what the caller is ready
// to pay for, writes the attempt into a [Journal], sends the order once, and finds out
// what became of it where no reply tells. An attempt whose outcome is not known stands in
// the way of the next one, and with the same key a purchase is made once: code that
// repeats whatever failed does not buy twice. [WithJournal] takes a journal that lasts, in
// a file or a database. [Client.QuoteOrder] and [Client.CreateOrder] are the steps by
// themselves; [Client.Renew] and [Client.Extend] do the same for what was bought.
// [Client.PlanRenewals] and [Client.RenewAll] renew what ends soon.
// [Client.ProxyTypes] and its neighbours tell what is on sale.
//
// # Proxies
//
// The reply of an order names no proxies, which may be ready only later. They
// are in the account's list:
//
//	for proxy, err := range client.Proxies(ctx, youproxy.ProxyQuery{}) {
//		if err != nil {
//			return err // the list is not complete
//		}
//		// ...
//	}
//
// [Proxy.URL] and [Proxy.Transport] send traffic through one, [Proxy.Format] and
// [WriteProxies] write them down for other programs, and package proxypool sends
// traffic through many: [ProxyURLs] makes the list that it takes, and
// [Client.FollowProxies] keeps it fresh. But for these, no proxy shows its password.
//
// # Errors
//
// A request that breaks a rule is a [*ValidationError], which names every broken
// rule; nothing was sent. A refusal by the service is an [*APIError], also where
// it came with HTTP status 200; its code is matched with [errors.Is]:
//
//	errors.Is(err, youproxy.ErrInsufficientFunds)
//
// Everything else is a [*CallError]. Of each, [OutcomeOf] says what is known of
// the money: not sent, rejected, done, or unknown.
//
// # Money
//
// Amounts are [Money]: exact decimals with a currency. No float holds one.
//
// A call that may spend, which is [Client.Buy], [Client.Renew] and
// [Client.RenewAll], [Client.CreateOrder], [Client.Extend] and a [Client.Call] with
// any method but GET, is sent at most once: neither the package nor a retrying
// transport below it repeats it, and redirects are not followed. Calls that
// spend nothing are repeated where that may help. Where the outcome is unknown,
// look at the account before ordering again, or let [Client.Recover] do so, also after a
// crash.
//
// # The API key
//
// The API wants its key in the URL's path. The key is put there by the innermost
// round tripper, and shows nowhere else: not in errors, logs, traces, what a
// middleware sees, or a printed [Client].
//
// # Testing
//
// Package youproxytest has a stateful service in the process, with faults. A
// stub of an interface of your own, or of the transport given with
// [WithHTTPClient], serves as well.
package youproxy
