package clients

import (
	"context"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/integration/clients/ogen"
)

func TestOgenClient(t *testing.T) {
	checkClient(t, moreThanAFloat64, func(ctx context.Context, baseURL, key string) (got results) {
		client, err := ogen.NewClient(baseURL)
		require.NoError(t, err)

		balance, err := client.GetBalance(ctx, ogen.GetBalanceParams{ApiKey: key})
		require.NoError(t, err)
		got.Balance = ogenAmount(balance.Balance)

		price, err := client.CalculateOrder(ctx, ogen.NewOrderCalculationIPv4OrderCalculation(ogen.FixedOrderCalculation{
			ProxyType: ogen.FixedOrderCalculationProxyTypeIPv4, Quantity: 1, RentPeriodDays: 30, Country: "USA", Goal: "price monitoring",
		}), ogen.CalculateOrderParams{ApiKey: key})
		require.NoError(t, err)
		require.False(t, price.Price.Null)
		got.Price = decimal.Decimal(price.Price.Value).String()

		order := ogen.Ipv4Order{
			ProxyType: ogen.Ipv4OrderProxyTypeIPv4, Quantity: 1, RentPeriodDays: 30, Country: "USA", Goal: "price monitoring", AuthType: ogen.AuthTypeLOGIN,
		}
		ordered, err := client.CreateOrder(ctx, ogen.NewIpv4OrderOrder(order), ogen.CreateOrderParams{ApiKey: key})
		require.NoError(t, err)
		got.OrderNumber, got.BalanceLeft = ordered.OrderNumber.Value, ogenAmount(ordered.Balance)

		order.Goal = "spam"
		refused, err := client.CreateOrder(ctx, ogen.NewIpv4OrderOrder(order), ogen.CreateOrderParams{ApiKey: key})
		require.NoError(t, err)
		got.Refusal = refused.Error.Value.Code

		listed, err := client.ListIpAddresses(ctx, ogen.ListIpAddressesParams{ApiKey: key})
		require.NoError(t, err)
		for _, ip := range listed.MOBILE {
			got.MobileProxies = append(got.MobileProxies, ip.IpAddressId.Value.String)
		}

		stranger, err := client.GetBalance(ctx, ogen.GetBalanceParams{ApiKey: "another-key"})
		require.NoError(t, err)
		got.BalanceOfStranger, got.RefusalOfStranger = ogenAmount(stranger.Balance), stranger.Error.Value.Code
		return got
	})
}

func ogenAmount(amount ogen.NilBalance) string {
	if amount.Null {
		return "null"
	}
	return decimal.Decimal(amount.Value).String()
}

func TestOgenTakesNumbersAndNulls(t *testing.T) {
	client, err := ogen.NewClient(serveReply(t, numbersAndNulls))
	require.NoError(t, err)
	listed, err := client.ListIpAddresses(t.Context(), ogen.ListIpAddressesParams{ApiKey: "key"})
	require.NoError(t, err)
	require.Len(t, listed.IPv4, 2)
	assert.EqualValues(t, 1111111111111111111, listed.IPv4[0].IpAddressId.Value.Int64)
	require.Len(t, listed.IPv4[1].Ips, 1)
	assert.Equal(t, "b", listed.IPv4[1].Ips[0].ID.Value.String)
}
