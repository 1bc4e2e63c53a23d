# Put behind the module for `pvhck guest probe` only: an operation that runs another one and gives, beside its
# answer, what Windows' commands gave to it, as CLIXML. It stands in front of the commands by functions of the
# same names, so that the module itself is the one that tests and guests know.

$script:PvReal = @{} # the commands behind the functions
$script:PvRaw = $null # what was recorded, while a probe runs
$script:PvRecorded = @('Get-ChildItem', 'Get-CimClass', 'Get-CimInstance', 'Get-ExecutionPolicy', 'Get-Item', 'Get-ItemProperty', 'Get-WinEvent', 'Get-WindowsDriver', 'Get-WmiObject', 'Test-Path')

$script:PvOperations.probe = @{ Function = 'Invoke-PvProbe'; Gives = 'one'; Parameters = [ordered]@{ operation = 'text'; request = 'text' } }

# Events hold objects that hold values; files and keys would lead on to their folders.
$script:PvDepths = @{ 'Get-WinEvent' = 3; 'Get-ChildItem' = 1; 'Get-Item' = 1; 'Get-ItemProperty' = 1 }

# $Request are the parameters of $Operation, as JSON.
function Invoke-PvProbe {
    param([string] $Operation, [string] $Request)
    $script:PvRaw = [Collections.ArrayList]::new()
    $answer = [ordered]@{ ok = $true; result = $null; error = $null; raw = $null }
    try {
        $answer.result = Invoke-PvOperation ([ordered]@{ id = [long] 0; op = $Operation; params = (ConvertFrom-PvJson $Request) })
        $null = ConvertTo-PvJson $answer.result # what has no JSON is this operation's error, not the probe's
    } catch {
        $answer.ok = $false
        $answer.result = $null
        $answer.error = [ordered]@{ kind = (Get-PvErrorKind $_ $Operation); detail = $_.Exception.Message }
    }
    $answer.raw = @($script:PvRaw)
    $script:PvRaw = $null
    $answer
}

# Runs a recorded command as its caller would.
function Invoke-PvRecorded {
    param([string] $Name, [object[]] $Arguments)
    $bound = ConvertTo-PvBound $Arguments
    $objects = @()
    $failure = $null
    try {
        $objects = @(& $script:PvReal[$Name] @bound)
    } catch {
        $failure = $_
        throw
    } finally {
        Add-PvRaw -Name $Name -Bound $bound -Objects $objects -Failure $failure
    }
    $objects
}

# $args of a function as a table: what was a parameter's name is marked as such by PowerShell.
function ConvertTo-PvBound {
    param([object[]] $Arguments)
    $bound = @{}
    $name = ''
    foreach ($argument in $Arguments) {
        if ($argument -is [string] -and $null -ne $argument.PSObject.Properties['<CommandParameterName>']) {
            $name = $argument.Trim('-', ':')
            $bound[$name] = $true # a switch, if no value follows
        } elseif ($name) {
            $bound[$name] = $argument
            $name = ''
        } else {
            throw 'a recorded command was called without parameter names'
        }
    }
    $bound
}

function Add-PvRaw {
    param([string] $Name, $Bound, [object[]] $Objects, $Failure)
    if ($null -eq $script:PvRaw) {
        return
    }
    $parameters = [ordered]@{}
    foreach ($key in @($Bound.Keys | Where-Object { $_ -ne 'ErrorAction' } | Sort-Object)) {
        $parameters[$key] = @($Bound[$key] | ForEach-Object { [string] $_ }) -join ','
    }
    $depth = $(if ($script:PvDepths.ContainsKey($Name)) { $script:PvDepths[$Name] } else { 2 })
    $null = $script:PvRaw.Add([ordered]@{
            command    = $Name
            parameters = $parameters
            packed     = ConvertTo-PvPacked @($Objects | ForEach-Object { Select-PvValue $_ }) $depth
            error      = $(if ($null -ne $Failure) { ConvertTo-PvFailure $Failure })
        })
}

# Registry values come with five properties that tell of PowerShell's providers, at great length.
function Select-PvValue {
    param($Object)
    if ($null -ne $Object -and $null -ne $Object.PSObject.Properties['PSProvider'] -and $Object -is [Management.Automation.PSCustomObject]) {
        return $Object | Select-Object -Property * -ExcludeProperty PSProvider, PSDrive, PSPath, PSParentPath
    }
    $Object
}

# CLIXML, compressed: that of all devices has megabytes.
function ConvertTo-PvPacked {
    param([object[]] $Objects, [int] $Depth)
    $text = [Text.Encoding]::UTF8.GetBytes([Management.Automation.PSSerializer]::Serialize($Objects, $Depth + 1))
    $packed = [IO.MemoryStream]::new()
    $zip = [IO.Compression.GZipStream]::new($packed, [IO.Compression.CompressionMode]::Compress)
    $zip.Write($text, 0, $text.Length)
    $zip.Dispose()
    [Convert]::ToBase64String($packed.ToArray())
}

function ConvertTo-PvFailure {
    param([Management.Automation.ErrorRecord] $Record)
    [ordered]@{
        id       = [string] $Record.FullyQualifiedErrorId
        category = [string] $Record.CategoryInfo.Category
        hresult  = '{0:x8}' -f $Record.Exception.HResult
        message  = $Record.Exception.Message
    }
}

# A command that is not there must stay so: the module asks for it by Get-Command.
foreach ($name in $script:PvRecorded) {
    $command = @(Get-Command -Name $name -ErrorAction Ignore)
    if ($command.Count) {
        $script:PvReal[$name] = $command[0]
        . ([scriptblock]::Create("function script:$name { Invoke-PvRecorded '$name' `$args }"))
    }
}

# -- what the module asks Windows without a command

$script:PvReal.Program = ${function:Invoke-PvProgram}
$script:PvReal.Store = ${function:Open-PvCertificateStore}
$script:PvReal.Session = ${function:Open-PvXenSession}

function Invoke-PvProgram {
    param([string] $Program, [string[]] $Arguments)
    $done = & $script:PvReal.Program -Program $Program -Arguments $Arguments
    Add-PvRaw -Name 'program' -Bound @{ Program = $Program; Arguments = $Arguments } -Objects @($done)
    $done
}

function Open-PvCertificateStore {
    param([string] $Name, [string] $Mode)
    $store = & $script:PvReal.Store -Name $Name -Mode $Mode
    $certificates = @($store.Certificates | Select-Object -Property Thumbprint, Subject, Issuer, NotAfter)
    Add-PvRaw -Name 'store' -Bound @{ Store = $Name } -Objects $certificates
    $store
}

function Open-PvXenSession {
    param([string] $Prefix)
    $session = [pscustomobject] @{ Real = (& $script:PvReal.Session -Prefix $Prefix) }
    $session | Add-Member -MemberType ScriptMethod -Name GetValue -Value { param($path) Invoke-PvSession -Session $this.Real -Method 'GetValue' -Path $path }
    $session | Add-Member -MemberType ScriptMethod -Name GetChildren -Value { param($path) Invoke-PvSession -Session $this.Real -Method 'GetChildren' -Path $path }
    $session | Add-Member -MemberType ScriptMethod -Name SetWatch -Value { param($path) Invoke-PvSession -Session $this.Real -Method 'SetWatch' -Path $path }
    $session | Add-Member -MemberType ScriptMethod -Name EndSession -Value { $this.Real.EndSession() }
    $session
}

function Invoke-PvSession {
    param($Session, [string] $Method, [string] $Path)
    $failure = $null
    $answer = $null
    try {
        $answer = $Session.$Method($Path)
        $answer
    } catch {
        $failure = $_
        throw
    } finally {
        Add-PvRaw -Name "session.$Method" -Bound @{ Path = $Path } -Objects @($answer) -Failure $failure
    }
}
