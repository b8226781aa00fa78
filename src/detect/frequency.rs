//! How often a text is met in ordinary prompts: what is rare is worth looking for.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Longest piece of a word that is told apart.
const LONGEST: usize = 8;

/// How often a lower-case text is met in a thousand bytes of ordinary prompts, roughly: in the common words that contain
/// it, and by the letters that follow each other in it.
pub(super) fn expected(text: &[u8]) -> f64 {
    let mut words = text.split_inclusive(|byte| *byte == b' ');
    let piece = |word: &[u8], begins: bool| {
        let own = [if begins { &b" "[..] } else { b"" }, word].concat();
        f64::from(PIECES.get(&key(own.get(..LONGEST).unwrap_or(&own))).copied().unwrap_or(0))
    };
    let first = piece(words.next().unwrap_or_default(), false);
    // Each further word follows a space.
    let known = words.filter(|word| !word.is_empty()).fold(first, |known, word| known * piece(word, true) / SPACES);
    known / 1_000.0 + by_letters(text)
}

/// Spaces in a million bytes.
const SPACES: f64 = 165_000.0;

/// Every piece of a common word between spaces, with how often it is met in a million bytes.
static PIECES: LazyLock<HashMap<u64, u32>> = LazyLock::new(|| {
    let mut pieces = HashMap::new();
    let mut words = COMMON.split_ascii_whitespace();
    while let (Some(word), Some(often)) = (words.next(), words.next()) {
        let often: u32 = often.parse().unwrap_or(0);
        let spaced = format!(" {word} ");
        for length in 1..=LONGEST.min(spaced.len()) {
            for piece in spaced.as_bytes().windows(length) {
                *pieces.entry(key(piece)).or_insert(0) += often;
            }
        }
    }
    pieces
});

/// A piece as a number.
fn key(piece: &[u8]) -> u64 {
    piece.iter().take(LONGEST).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// Expected occurrences in a thousand bytes, each letter depending on the one before it.
fn by_letters(text: &[u8]) -> f64 {
    let mut before = None;
    let mut thirds = 0;
    for byte in text {
        let class = class(*byte);
        let row = before.map_or(STARTS, |before| FOLLOWS.get(usize::from(before)).copied().unwrap_or(STARTS));
        thirds += row.get(usize::from(class)).map_or(36, |digit| u32::from(value(*digit)));
        if class == OTHER {
            thirds += OTHERS;
        }
        before = Some(class);
    }
    1_000.0 * (-f64::from(thirds) / 3.0).exp2()
}

/// Roughly what share of ordinary text a byte is.
pub(super) fn share(byte: u8) -> f64 {
    const OFTEN: &[u8; 26] = b"etaoinshrdlucmfwypvbgkjxqz";
    let rank = |letter: u8| OFTEN.iter().position(|own| *own == letter).unwrap_or(25) as i32;
    match byte {
        b' ' => 0.17,
        b'a'..=b'z' => 0.1 * 0.87_f64.powi(rank(byte)),
        b'A'..=b'Z' => 0.004 * 0.87_f64.powi(rank(byte.to_ascii_lowercase())),
        b'\n' | b',' | b'.' => 0.01,
        b'0'..=b'9' | b'"' | b'\'' | b'-' | b'(' | b')' | b':' => 0.002,
        _ => 0.0005,
    }
}

/// Letters, white space, everything else.
const fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => byte - b'a',
        _ if byte.is_ascii_whitespace() => 26,
        _ => OTHER,
    }
}

const OTHER: u8 = 27;
/// Thirds of a bit that one of the other characters tells: there are about twenty of them.
const OTHERS: u32 = 13;

/// A digit of base 36.
const fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.saturating_sub(b'a') + 10,
    }
}

/// How unlikely each class is, in thirds of a bit, as digits of base 36. Counted over benign English prompts.
const STARTS: &[u8] = b"ckfgaiifctnfhddhrddcgljqju8b";

/// The same, behind each class.
const FOLLOWS: [&[u8]; 28] = [
    b"tfdfungsfvjae8zgzab8khnpgsbi",
    b"bnot6xzvdiz8pv9rzdinawzxdwgf",
    b"9zfr9tz9dzeerz7qxdkadzzzkzfh",
    b"drsi7posawwkpocqzhgrhlswmz4b",
    b"dpedhkkrlysegankl9aetikhlz6c",
    b"dxvsbdrz8zzium7yzbohdzxzkz7g",
    b"csqr7ujdbzyiqgemzcgkeyxzjw5b",
    b"8uyr4zzzazzoqlaszjqfkzwzkzaf",
    b"fkceefgzxxldf6birgaatgzpzkei",
    b"7nrq6uzyimmwxu7jusat9tnzxufe",
    b"esom5nlr8xukneirzqclhzpvkz7a",
    b"brmd7gsz9zqaopbkzsfggopzez9e",
    b"7fon6ovzczxkeqbbzuhrfxzzezad",
    b"dwd9bi9tfsonpjfkzvc9ilvzjz7d",
    b"mlhgncjsltlec8gfz8gf9ierpzaj",
    b"aurn8rphdzramqadz9gdcwwsgzde",
    b"stvytzvztzzfnutzzmsr0zzzzzke",
    b"brhg7njwazkkfhbozhdehltzfz8d",
    b"hwhs9qzeczmnpoefrud8fsmzkz69",
    b"cvnp9sv7azzkpvakzegihynthz7c",
    b"ggfgcphwfwtadatfz899xvzttvcj",
    b"9ytw3usz6zzwqtdtzurwlyzzszkg",
    b"aurs9uz77zvmxgaxzeeozzkzuz9f",
    b"aqdnalvoczzsiuo7wuk7pvzlhpa9",
    b"mpmngwuxjzylkk8gzqdfuxnzws38",
    b"7qom4pnpazwnnsdtzpjpfoqzifed",
    b"agdggfjhcoohfiefpgdailevjx9a",
    b"jlhkkjnliqqkkjljpjfinonrtv44",
];

/// Common words, each with how often it is met in a million bytes of benign English prompts.
const COMMON: &str = "\
    the 6608 a 4056 to 3804 and 3256 of 2696 in 2101 i 1833 is 1816 for 1600 you 1463 that 1179 or 1059 as 1012 \
    be 996 on 971 with 966 it 870 this 834 what 818 can 811 are 794 from 734 an 677 my 673 if 584 your 571 \
    how 564 should 534 have 461 when 460 toolformer 454 do 450 input 448 by 447 about 434 use 403 search 401 \
    any 387 need 377 not 374 file 359 access 342 all 328 information 314 query 313 name 313 return 313 but 311 \
    me 306 python 300 which 290 string 289 at 289 new 284 get 282 where 279 was 278 int 277 tablealias 277 \
    will 271 list 259 other 255 their 255 enabled 248 let 245 number 243 id 236 output 232 using 228 more 228 \
    provide 224 code 224 news 221 path 220 would 217 https 216 field 215 out 214 there 213 write 210 help 209 \
    request 207 some 205 current 205 has 204 such 203 we 201 data 200 time 200 user 199 course 196 command 196 \
    find 195 answer 195 function 190 questions 190 useful 189 who 189 they 186 may 183 up 180 ai 179 card 179 \
    like 178 weather 176 include 173 api 170 key 169 create 168 into 168 wikipedia 166 specific 165 one 160 \
    make 158 top 157 coursealias 156 self 155 our 154 result 152 these 151 illegal 149 system 149 here 149 \
    com 148 example 146 assistance 146 used 145 well 145 cannot 145 also 145 wolfram 142 given 142 \
    activities 141 many 140 only 140 std 139 line 139 its 139 content 139 shell 138 first 137 text 137 must 137 \
    want 134 important 134 why 134 select 132 tldr 132 world 132 security 131 language 130 so 129 url 129 \
    response 129 account 128 different 126 count 125 table 125 set 124 does 123 please 123 model 122 \
    following 122 them 122 people 120 public 115 add 114 directory 114 numbers 113 being 112 re 111 no 110 \
    de 110 sum 110 script 110 while 109 including 109 life 109 each 109 main 109 program 108 value 108 than 107 \
    topic 106 str 105 events 104 word 104 math 104 could 103 tell 103 error 102 take 102 display 101 \
    ethical 100 without 99 between 99 through 98 engine 98 application 97 server 97 am 97 start 97 sorry 96 \
    commands 95 most 95 found 94 see 93 then 93 best 92 way 92 num 92 technology 92 run 91 question 90 two 90 \
    const 90 others 90 know 90 print 90 someone 90 type 89 work 89 give 88 latest 87 long 87 words 87 else 87 \
    now 87 files 87 been 86 fn 86 import 86 explain 86 test 85 factorial 85 money 85 guidance 84 change 83 \
    just 82 check 82 against 82 year 82 based 81 class 81 always 80 org 79 natural 78 even 78 support 78 \
    length 77 mut 77 arr 77 were 76 javascript 76 version 75 json 75 default 75 respect 74 log 74 next 73 \
    valid 73 client 73 unethical 73 open 73 us 73 around 72 git 72 free 72 legal 71 end 71 pub 71 before 70 \
    society 70 http 69 def 68 something 68 did 68 date 68 show 67 ll 67 level 67 today 67 image 66 feel 66 \
    process 66 after 65 html 65 order 65 un 65 go 65 engaging 65 service 63 array 63 semester 63 day 63 page 63 \
    build 62 general 62 total 62 ways 62 both 62 web 62 txt 62 instead 61 his 61 headlines 61 openai 60 true 60 \
    users 60 however 60 assist 59 static 59 non 59 session 59 summary 59 during 59 execute 59 java 59 don 59 \
    available 59 describe 58 over 58 ensure 58 science 58 snippet 58 city 58 right 57 ask 57 console 57 \
    format 57 behavior 57 hello 56 csv 56 offeringalias 56 transfer 56 he 56 remember 55 within 55 offering 55 \
    target 55 returns 55 control 54 false 54 team 54 sudo 54 implement 53 read 53 earth 53 takes 53 site 53 \
    good 53 last 53 car 53 cout 53 app 53 high 53 age 53 techniques 52 state 52 ve 52 human 52 happy 52 sure 52 \
    www 51 status 51 running 50 times 50 limit 50 source 50 project 50 address 50 least 50 match 50 email 49 \
    consequences 49 docker 49 github 49 gateway 49 identify 49 size 49 made 49 case 49 echo 49 agent 48 \
    stories 48 culture 48 possible 48 imagine 48 law 48 consider 48 malicious 48 generate 48 back 47 still 47 \
    systems 47 package 47 original 47 much 47 own 47 environment 47 actions 47 sheet 47 semesteralias 47 had 47 \
    none 47 harmful 47 attack 46 role 46 group 46 better 46 message 46 services 46 companies 46 home 46 \
    resources 46 require 46 understand 46 rate 46 places 46 expect 46 historical 46 common 45 points 45 \
    details 45 story 45 cheat 45 apple 45 area 45 positive 45 credit 45 energy 44 focus 44 password 44 lines 44 \
    those 44 potential 44 same 44 since 44 guidelines 44 assert 44 space 43 call 43 char 43 tools 43 classes 43 \
    because 43 payment 43 tool 43 fibonacci 43 double 43 usage 42 follow 42 object 42 values 42 integer 42 \
    place 42 err 42 network 42 max 42 software 42 displays 42 calculate 42 person 42 style 42 got 42 la 42 \
    characters 41 adversaries 41 attacks 41 unique 41 her 41 map 41 applications 41 per 41 trust 41 design 41 \
    subjects 41 md 41 point 40 config 40 additionally 40 chatgpt 40 form 40 context 40 try 40 history 40 \
    method 40 models 40 various 40 privacy 40 header 40 say 40 often 40 making 40 creating 40 internet 40 \
    iostream 40 able 39 safety 39 configuration 39 communication 39 recent 39 view 39 step 39 kind 39 days 39 \
    join 39 args 39 identity 39 cash 39 container 39 come 39 token 39 whether 39 responsible 39 alpha 39 \
    every 39 rules 39 crate 39 wrapper 38 everyday 38 approach 38 en 38 host 38 item 38 local 38 mode 38 \
    event 38 prompt 38 knowledge 38 io 38 printed 37 side 37 personal 37 body 37 len 37 specified 37 port 37 \
    future 37 another 37 reverse 37 off 37 ip 37 business 36 policy 36 called 36 encyclopedia 36 keep 36 \
    vector 36 york 36 allow 36 remove 36 won 36 filename 36 range 36 update 36 love 36 look 35 \
    authentication 35 endl 35 adversary 35 docs 35 character 35 impact 35 calculations 35 required 35 secret 35 \
    prioritize 35 advice 35 average 35 exchange 35 understanding 35 bytes 35 requests 34 review 34 harm 34 \
    bash 34 title 34 part 34 post 34 remote 34 send 34 put 34 power 34 keys 34 th 34 department 34 \
    codetoexecute 34 victim 34 names 34 node 34 amount 34 private 34 provider 34 terminal 34 years 34 bug 33 \
    attacker 33 delete 33 bank 33 states 33 features 33 inner 33 via 33 location 33 working 33 options 33 \
    development 33 types 33 company 33 play 33 feature 33 looking 33 note 33 food 33 strings 33 store 33 \
    social 33 above 33 bin 33 instructoralias 33 product 32 simple 32 courses 32 online 32 said 32 lead 32 \
    root 32 multiple 32 cache 32 issues 32 ok 32 base 32 sql 32 rewrite 32 under 32 void 32 pattern 32 \
    temperature 31 learn 31 second 31 three 31 might 31 documentation 31 elements 31 engage 31 regex 31 old 31 \
    water 31 resource 31 done 31 building 31 install 31 classify 31 dog 31 united 31 going 31 down 30 \
    encourage 30 experience 30 plan 30 once 30 option 30 alias 30 property 30 cli 30 traffic 30 hacking 30 \
    share 30 real 30 secure 30 market 30 clear 30 report 30 full 30 secrets 30 great 30 expected 30 think 30 \
    index 30 provided 29 management 29 website 29 transaction 29 short 29 reader 29 known 29 means 29 mars 29 \
    database 29 avoid 29 developed 29 never 29 vec 29 game 29 aml 28 explore 28 authorization 28 things 28 \
    manned 28 research 28 integrity 28 organization 28 items 28 phone 28 needs 28 risk 28 calculates 28";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_and_their_pieces_are_told_from_rare_ones() {
        assert!(expected(b"the") > 10.0);
        assert!(expected(b"informat") > 0.1);
        assert!(expected(b"her") > 1.0);
        assert!(expected(b"disregar") < 0.02);
        assert!(expected(b"](http") < 0.01);
        assert!(expected(b"des") > expected(b"desc"));
    }

    #[test]
    fn tables_are_whole() {
        assert!(FOLLOWS.iter().chain([&STARTS]).all(|row| row.len() == 28 && row.is_ascii()));
        assert_eq!(COMMON.split_ascii_whitespace().count() % 2, 0);
    }
}
