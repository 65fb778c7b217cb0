package youproxy

import (
	"context"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Country is a country in which proxies are sold.
type Country struct {
	Code string // ISO 3166-1 alpha-3, such as "USA", for the Country of an order
	Name string // in English if the service names it in several languages; may be empty

	// Extra holds what this package has no field for or could not read, by its name in
	// the reply. Code is a two-letter code if the service lists no other.
	Extra Extra `json:"-"`
}

// MobileOperator is a carrier of mobile proxies.
type MobileOperator struct {
	Tag     string // for the MobileOperator of an order, such as "verizon"
	Name    string // empty if the service does not name it
	Country string // its code if the service lists one, otherwise as the service writes it; may be empty

	// RotationTimes lists the values for the RotationTime of an order, as the service
	// lists them: probably in seconds (their unit is not documented). 0 probably stands
	// for a rotation by link, which [MobileOrderRequest.RotateByLink] orders.
	// RotationTimes is empty if one of the values cannot be read. If they have more than
	// numbers, such as names, Extra holds them as well.
	RotationTimes []int

	// Extra holds what this package has no field for or could not fully read, by its
	// name in the reply.
	Extra Extra `json:"-"`
}

// PromoCode is a promo code of the account.
type PromoCode struct {
	Code         string
	Uses         int               // how often it was used
	Start, End   time.Time         // in UTC; zero if the service lists no date
	Endless      bool              // the code does not expire
	Discount     decimal.Decimal   // percent
	Descriptions map[string]string // by locale, such as "en"
}

// ProxyTypes returns the proxy types that are sold.
//
// The form of the reply is not documented. Lists of strings or of objects are read in the
// likely forms. A reply without a list, or with an entry that cannot be read, is a
// [*CallError]; [Client.Call] can still fetch it.
func (c *Client) ProxyTypes(ctx context.Context) ([]ProxyType, error) {
	return readCatalogue(ctx, c, "GET /proxyType", nil, &proxyTypeList, "")
}

// Countries returns the countries in which proxies of a type are sold.
//
// The form of the reply is not documented; it comes from a public integration. Lists are
// read in several likely forms. A reply without a list, or with an entry that cannot be read,
// such as a country without a code, is a [*CallError]; [Client.Call] can still fetch it.
func (c *Client) Countries(ctx context.Context, t ProxyType) ([]Country, error) {
	query, err := forProxyType("Countries", t)
	if err != nil {
		return nil, err
	}
	return readCatalogue(ctx, c, "GET /country", query, &countryList, t)
}

// RentPeriods returns the periods, in days, for which proxies of a type can be rented or
// extended. A reply without a list, or with an entry that is not a number of days, is a
// [*CallError].
func (c *Client) RentPeriods(ctx context.Context, t ProxyType) ([]int, error) {
	query, err := forProxyType("RentPeriods", t)
	if err != nil {
		return nil, err
	}
	return readCatalogue(ctx, c, "GET /rentPeriod", query, &rentPeriodList, t)
}

// MobileOperators returns the carriers of mobile proxies in all countries.
//
// The form of the reply is not documented. Lists of strings or of objects are read in the
// likely forms, also inside a list of countries. A reply without a list, or with an entry
// that cannot be read, is a [*CallError]; [Client.Call] can still fetch it.
func (c *Client) MobileOperators(ctx context.Context) ([]MobileOperator, error) {
	return readCatalogue(ctx, c, "GET /mobileOperator", nil, &operatorList, ProxyTypeMobile)
}

// PromoCodes returns the promo codes of the account. A reply without a list, or with an
// entry whose Code, Discount, Uses or Endless cannot be read, is a [*CallError].
func (c *Client) PromoCodes(ctx context.Context) ([]PromoCode, error) {
	return readCatalogue(ctx, c, "GET /promoCode", nil, &promoCodeList, "")
}

// proxyTypeQuery is the query of a call about one proxy type.
type proxyTypeQuery struct {
	ProxyType ProxyType `url:"proxyType,omitempty"`
}

// forProxyType returns the query of a call that must name a proxy type. Whether the type
// exists is for the service to say.
func forProxyType(call string, t ProxyType) (*proxyTypeQuery, error) {
	var v brokenRules
	v.checkText("proxyType", string(t), "give one such as ProxyTypeIPv4")
	return &proxyTypeQuery{t}, v.asError(call)
}

// The table of how the list of each call is read. Names are as plainName writes them, the
// likeliest first. Those that are not documented come from public integrations, from
// sibling services, and from what backends of this kind are known to write.
var (
	proxyTypeList = catalogueList[ProxyType]{
		name:   "proxyTypes",
		names:  strings.Fields("proxytypes types proxytypelist proxytype"),
		keyed:  true,
		fields: []catalogueField[ProxyType]{{strings.Fields("proxytype type code " + itself + " value key tag slug id name title label " + itsKey), readProxyType}},
	}

	countryList = catalogueList[Country]{
		name:  "countries",
		names: strings.Fields("countries countrylist"),
		keyed: true,
		fields: []catalogueField[Country]{
			{strings.Fields(alpha3Names + " countrycode code country isocode iso key value tag slug shortname id alpha2 alpha2code iso2 " + itself + " " + itsKey), readCountryCode},
			{strings.Fields("name countryname title label nameen englishname fullname displayname country " + itsValue + " " + itsKey), readCountryName},
		},
		extra: func(c *Country) *Extra { return &c.Extra },
	}

	operatorList = catalogueList[MobileOperator]{
		name:   "mobileOperators",
		names:  strings.Fields("mobileoperators operators carriers operatorlist"),
		groups: strings.Fields("countries country"),
		fields: []catalogueField[MobileOperator]{
			{strings.Fields("tag mobileoperator code mobileoperatortag operatortag operatorcode operator slug key value id operatorid " + itself + " " + itsKey), readTag},
			{strings.Fields("name title operatorname label operator mobileoperatorname displayname"), readOperatorName},
			{strings.Fields(alpha3Names + " countrycode country countryname " + ofGroup), readOperatorCountry},
			{strings.Fields(rotationNames), readRotationTimes},
		},
		extra: func(o *MobileOperator) *Extra { return &o.Extra },
	}

	rentPeriodList = catalogueList[int]{
		name:    "rentPeriodDays",
		names:   strings.Fields("rentperioddays rentperiods periods days rentperiod period"),
		numbers: true,
		fields:  []catalogueField[int]{{strings.Fields("days rentperioddays perioddays rentdays daycount dayscount numberofdays " + itself), readDays}},
	}

	// rotationList is the list of the rotation times of one operator.
	rotationList = catalogueList[int]{
		name:    "rotationTimes",
		names:   strings.Fields(rotationNames),
		keyed:   true,
		numbers: true,
		fields:  []catalogueField[int]{{strings.Fields("seconds rotationtime rotation time value interval period duration name title label " + itself + " " + itsKey + " id code key"), readNumber}},
	}

	promoCodeList = catalogueList[PromoCode]{
		name:  "promoCodes",
		names: strings.Fields("promocodes promos coupons promocodelist"),
		fields: []catalogueField[PromoCode]{
			{strings.Fields("code promocode promo coupon key value " + itsKey), readPromoCode},
			{strings.Fields("countuses uses usescount usecount usedcount usagecount used"), func(p *PromoCode, m listed) int { return readNumber(&p.Uses, m) }},
			{strings.Fields("startdate datestart start startat startsat validfrom"), readDate(func(p *PromoCode) *time.Time { return &p.Start })},
			{strings.Fields("enddate dateend end endat endsat expiresat validto validuntil"), readDate(func(p *PromoCode) *time.Time { return &p.End })},
			{strings.Fields("endless"), readEndless},
			{strings.Fields("discount percent discountpercent"), readDiscount},
			{strings.Fields("descriptionsbylocale descriptions description"), readDescriptions},
		},
	}

	// wrapperNames are of members that hold a list, or an object with one.
	wrapperNames = strings.Fields("data result results response payload items list content records rows entries elements values collection embedded body")
)

const (
	// alpha3Names say that they are codes of three letters.
	alpha3Names   = "alpha3code alpha3 iso3 isoalpha3 iso3code isocode3 code3 cca3 countryalpha3 countryiso3 countrycode3 iso3166alpha3"
	rotationNames = "rotationtimes rotationtime rotations rotation rotationperiods rotationintervals rotationseconds rotationtimelist"

	// Names for what has none in an entry.
	itself   = "(itself)" // a string or a number that is an entry
	itsKey   = "(key)"    // the key of an entry
	itsValue = "(value)"  // the value of such a key
	ofGroup  = "(group)"  // the country of the surrounding group
)
