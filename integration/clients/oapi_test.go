package clients

import (
	"context"
	"net/http"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/integration/clients/oapi"
)

func TestOapiCodegenClient(t *testing.T) {
	checkClient(t, moreThanAFloat64, func(ctx context.Context, baseURL, key string) (got results) {
		client, err := oapi.NewClientWithResponses(baseURL)
		require.NoError(t, err)

		balance, err := client.GetBalanceWithResponse(ctx, key)
		require.NoError(t, err)
		got.Balance = oapiAmount(balance.JSON200.Balance)

		var calculation oapi.OrderCalculation
		require.NoError(t, calculation.FromFixedOrderCalculation(oapi.FixedOrderCalculation{
			ProxyType: oapi.FixedOrderCalculationProxyTypeIPv4, Quantity: 1, RentPeriodDays: 30, Country: "USA", Goal: "price monitoring",
		}))
		price, err := client.CalculateOrderWithResponse(ctx, key, calculation)
		require.NoError(t, err)
		got.Price = oapiAmount(price.JSON200.Price)

		order := oapi.Ipv4Order{
			ProxyType: oapi.Ipv4OrderProxyTypeIPv4, Quantity: 1, RentPeriodDays: 30, Country: "USA", Goal: "price monitoring", AuthType: oapi.LOGIN,
		}
		var body oapi.Order
		require.NoError(t, body.FromIpv4Order(order))
		ordered, err := client.CreateOrderWithResponse(ctx, key, body)
		require.NoError(t, err)
		got.OrderNumber, got.BalanceLeft = *ordered.JSON200.OrderNumber, oapiAmount(ordered.JSON200.Balance)

		order.Goal = "spam"
		require.NoError(t, body.FromIpv4Order(order))
		refused, err := client.CreateOrderWithResponse(ctx, key, body)
		require.NoError(t, err)
		got.Refusal = refused.JSON200.Error.Code

		listed, err := client.ListIpAddressesWithResponse(ctx, key, nil)
		require.NoError(t, err)
		for _, ip := range *listed.JSON200.MOBILE {
			id, err := ip.IpAddressId.AsListedId0()
			require.NoError(t, err)
			got.MobileProxies = append(got.MobileProxies, id)
		}

		stranger, err := client.GetBalanceWithResponse(ctx, "another-key")
		require.NoError(t, err)
		got.BalanceOfStranger, got.RefusalOfStranger = oapiAmount(stranger.JSON200.Balance), stranger.JSON200.Error.Code
		return got
	})
}

func oapiAmount(amount *decimal.Decimal) string {
	if amount == nil {
		return "null"
	}
	return amount.String()
}

func TestOapiCodegenTakesNumbersAndNulls(t *testing.T) {
	client, err := oapi.NewClientWithResponses(serveReply(t, numbersAndNulls), oapi.WithHTTPClient(http.DefaultClient))
	require.NoError(t, err)
	listed, err := client.ListIpAddressesWithResponse(t.Context(), "key", nil)
	require.NoError(t, err)
	list := *listed.JSON200.IPv4
	require.Len(t, list, 2)
	id, err := list[0].IpAddressId.AsListedId1()
	require.NoError(t, err)
	assert.EqualValues(t, 1111111111111111111, id)
	ips := *list[1].Ips
	require.Len(t, ips, 1)
	assert.Nil(t, ips[0].HttpsPort)
}
