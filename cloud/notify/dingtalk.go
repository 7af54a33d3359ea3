package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// dingTalk is a custom robot of DingTalk whose security setting is "sign".
//
// The contract, from DingTalk's "custom robot security settings" page: the
// signature is base64(HMAC-SHA256(secret, timestamp + "\n" + secret)), with the
// timestamp in milliseconds and at most an hour off; timestamp and signature
// stand in the query beside access_token. The answer is always 200 with
// errcode, 0 for success. A robot takes 20 messages a minute.
type dingTalk struct {
	server, token, secret string
	clean                 func(error) error
}

// dingTalkSign is the signature for a timestamp in milliseconds, before it is
// escaped for the query.
func dingTalkSign(secret string, ms int64) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte(strconv.FormatInt(ms, 10) + "\n" + secret)) // a hash never errs
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (d *dingTalk) Send(ctx context.Context, m *Message) (retry bool, err error) {
	const most = 20_000 // bytes of a whole request
	type text struct {
		Content string `json:"content"`
	}
	body, err := json.Marshal(struct {
		Type string `json:"msgtype"`
		Text text   `json:"text"`
	}{"text", text{shorten(m.Subject+"\n"+m.Text, most/4)}})
	if err != nil {
		return false, fmt.Errorf("dingtalk: encode: %w", err)
	}
	now := time.Now().UnixMilli()
	query := url.Values{"access_token": {d.token}, "timestamp": {strconv.FormatInt(now, 10)}, "sign": {dingTalkSign(d.secret, now)}}
	status, answer, err := post(ctx, strings.TrimSuffix(d.server, "/")+"/robot/send?"+query.Encode(), nil, body)
	if err != nil {
		return true, fmt.Errorf("dingtalk: %w", d.clean(err))
	}
	var said struct {
		Code    *int   `json:"errcode"`
		Message string `json:"errmsg"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || said.Code == nil {
		return true, fmt.Errorf("dingtalk: status %d: the answer is not DingTalk's", status)
	}
	if *said.Code != 0 {
		// 300001 no such token, 310000 refused by the security setting, 400xxx bad
		// request: a person must mend them. The rest, as "too fast", passes.
		final := *said.Code == 300001 || *said.Code == 310000 || *said.Code/1000 == 400
		return !final, fmt.Errorf("dingtalk: errcode %d: %w", *said.Code, d.clean(errors.New(said.Message)))
	}
	return false, nil
}
